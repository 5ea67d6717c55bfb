from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from landscape.data import ImageData, as_data, load_data
from landscape.errors import DataError, LandscapeError, UsageError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (11, 3, 4, 5), dtype=np.uint8)
LABELS = RNG.integers(0, 4, 11)
LABELS[3] = 3
FLOATS = IMAGES / np.float32(255)


def assert_holds(data: ImageData, images: np.ndarray = FLOATS, labels: np.ndarray = LABELS) -> None:
    np.testing.assert_array_equal(data.images.numpy(), images)
    np.testing.assert_array_equal(data.labels.numpy(), labels)


class Pairs(Dataset[Any]):
    """A data set of the items that it is given."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Flow(IterableDataset[Any]):
    """The same items, one after another."""

    def __iter__(self) -> Any:
        return iter(zip(torch.from_numpy(FLOATS), LABELS.tolist(), strict=True))


class Picture:
    """What NumPy sees of a PIL image: an array (H, W, C) that cannot be written."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = np.ascontiguousarray(image.transpose(1, 2, 0))
        self.image.flags.writeable = False

    @property
    def __array_interface__(self) -> Any:
        return self.image.__array_interface__


TENSORS = TensorDataset(torch.from_numpy(FLOATS), torch.from_numpy(LABELS))
ITEMS = list(zip(FLOATS, LABELS.tolist(), strict=True))


@pytest.mark.parametrize(
    "obj",
    [
        (FLOATS, LABELS),
        [torch.from_numpy(FLOATS), LABELS.tolist()],
        TENSORS,
        Pairs(ITEMS),
        Pairs([list(item) for item in ITEMS]),
        Flow(),
        DataLoader(TENSORS, batch_size=4),  # ragged: 4, 4, 3
        DataLoader(TENSORS, batch_size=11, drop_last=True),  # which drops nothing
        DataLoader(TENSORS, batch_size=None),
        DataLoader(TENSORS, batch_sampler=[[0, 1, 2], [3, 4], [5, 6, 7, 8, 9, 10]]),
        DataLoader(Flow(), batch_size=4),
        DataLoader(Pairs(ITEMS), batch_size=4),
    ],
)
def test_what_a_notebook_holds_is_stacked_in_its_order(obj: Any) -> None:
    data = as_data(obj)
    assert_holds(data)
    assert (data.classes, data.spec, data.split, data.shape) == (4, "in memory", "train", (3, 4, 5))
    assert as_data(obj).sha256 == data.sha256


def test_pictures_without_a_transform_stay_bytes() -> None:
    data = as_data(Pairs([(Picture(image), label) for image, label in zip(IMAGES, LABELS, strict=True)]))
    assert_holds(data, IMAGES)
    assert data.images.dtype == torch.uint8


def test_an_image_data_and_a_spec_pass() -> None:
    data = as_data("digits")
    assert (data.spec, len(data)) == ("digits", 1437)
    assert as_data(data) is data


def test_classes_come_from_the_caller_or_from_a_data_set_that_names_them() -> None:
    assert as_data((FLOATS, LABELS), classes=9).classes == 9
    named = Pairs(ITEMS)
    named.classes = ["a", "b", "c", "d", "e"]  # type: ignore[attr-defined]
    assert as_data(named).classes == 5
    assert as_data(DataLoader(named)).classes == 5
    with pytest.raises(DataError, match="labels run from 0 to 3, wanted classes numbered from 0 to 2"):
        as_data((FLOATS, LABELS), classes=3)


def test_a_shuffling_loader_gives_every_example_once_and_moves_no_generator() -> None:
    loader = DataLoader(TENSORS, batch_size=4, shuffle=True)
    state = torch.get_rng_state()
    data = as_data(loader)
    assert torch.equal(torch.get_rng_state(), state)
    order = np.lexsort(data.images.flatten(1).numpy().T)
    expected = np.lexsort(FLOATS.reshape(11, -1).T)
    assert_holds(ImageData(data.images[order], data.labels[order], 4, "", ""), FLOATS[expected], LABELS[expected])


def test_a_loader_that_drops_examples_is_refused() -> None:
    with pytest.raises(DataError, match="drops its last 3 examples; make it with drop_last=False"):
        as_data(DataLoader(TENSORS, batch_size=4, drop_last=True))


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (7, "the data are of type int, wanted"),
        ((FLOATS, LABELS, LABELS), "the data are of type tuple, wanted"),
        (Pairs([]), "the data are empty"),
        (Pairs([(FLOATS[0],)]), "an item of the data has 1 parts, wanted"),
        (Pairs([{"image": FLOATS[0]}]), "an item of the data is of type dict, wanted"),
        (Pairs([FLOATS[0]]), "an item of the data is of type ndarray, wanted"),
        (Pairs([(FLOATS[0], 0), (FLOATS[0][:, :3], 0)]), "images differ in shape"),
        (Pairs([(FLOATS[0], 0), (FLOATS[0], [0, 1])]), "labels differ in shape"),
        (Pairs([(FLOATS[0], "cat")]), "wanted numbers"),
        (Pairs([(FLOATS[0] * 4 - 2, 0)]), "normalisation belongs inside the model"),
        (DataLoader(TensorDataset(torch.from_numpy(FLOATS))), "an item of the data has 1 parts"),
        (Dataset(), "Dataset has no length"),
    ],
)
def test_what_is_no_data_says_so(obj: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_data(obj)


def test_an_npz_is_loaded_with_the_classes_of_both_splits(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, images=IMAGES, labels=LABELS, test_images=IMAGES[:2], test_labels=np.array([0, 6]))
    train, test = load_data(str(path)), load_data(str(path), split="test")
    assert_holds(train, IMAGES)
    assert_holds(test, IMAGES[:2], np.array([0, 6]))
    assert (train.classes, test.classes) == (7, 7)
    assert (train.spec, test.split) == (str(path), "test")


def test_an_npz_without_a_test_split_has_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", images=IMAGES, labels=LABELS)
    with pytest.raises(
        UsageError, match="has no test_images and no test_labels, hence no test split; use --split train"
    ):
        load_data(str(tmp_path / "mine.npz"), split="test")


def test_labels_of_the_other_split_are_not_judged(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", images=IMAGES, labels=LABELS, test_labels=np.array([np.nan, 7.5]))
    assert load_data(str(tmp_path / "mine.npz")).classes == 4


class Bomb:
    def __reduce__(self) -> Any:
        return open, ("pwned", "w")


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (lambda path: None, "is not there; name an existing .npz"),
        (lambda path: path.mkdir(), "is not there"),
        (lambda path: path.write_bytes(b""), "cannot be read as .npz"),
        (lambda path: path.write_bytes(b"<html></html>"), "cannot be read as .npz"),
        (lambda path: np.savez(path, images=IMAGES), "has no labels; it holds images"),
        (lambda path: np.savez(path), "has no images and no labels; it holds nothing"),
        (lambda path: np.savez(path, images=IMAGES, labels=np.array([Bomb()] * 11)), "cannot be read as .npz"),
        (lambda path: np.savez(path, images=IMAGES, labels=LABELS[:3]), "labels of .*mine.npz number 3"),
        (lambda path: np.savez(path, images=IMAGES * 1.0, labels=LABELS), "images of .*mine.npz run from 0 to 25"),
    ],
)
def test_a_bad_npz_says_so(save: Any, said: str, tmp_path: Path) -> None:
    save(tmp_path / "mine.npz")
    with pytest.raises(DataError, match=said) as caught:
        load_data(str(tmp_path / "mine.npz"))
    assert "\n" not in str(caught.value)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("cut", [10, 200, 500, -30])
def test_a_truncated_npz_says_so(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, images=IMAGES, labels=LABELS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="mine.npz cannot be read as .npz"):
        load_data(str(path))


def test_a_single_array_under_the_name_of_an_npz_says_so(tmp_path: Path) -> None:
    with open(tmp_path / "mine.npz", "wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match="holds a single array; save it with numpy.savez"):
        load_data(str(tmp_path / "mine.npz"))


CODE = """
import numpy as np
import torch
from torch.utils.data import TensorDataset

def arrays(train):
    n = 6 if train else 2
    return np.full((n, 4, 4), 7 + train, np.uint8), np.arange(n)

def dataset(train):
    images, labels = arrays(train)
    return TensorDataset(torch.tensor(images) / 255.0, torch.tensor(labels))

def broken(train):
    raise RuntimeError("two\\nlines")

def nothing(train):
    pass

def none():
    pass
"""


@pytest.mark.parametrize("name", ["arrays", "dataset"])
@pytest.mark.parametrize("kind", ["file", "module"])
def test_a_callable_gives_each_split(name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_images.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    spec = f"{tmp_path / 'my_images.py'}:{name}" if kind == "file" else f"my_images:{name}"
    train, test = load_data(spec), load_data(spec, split="test")
    assert (len(train), len(test)) == (6, 2)
    assert (train.spec, train.split, test.split) == (spec, "train", "test")
    scale = 1 if name == "arrays" else 255
    assert (train.images * scale).unique().tolist() == [8]
    assert (test.images * scale).unique().tolist() == [7]


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (":broken", "broken failed when called with train=True: RuntimeError: two lines"),
        (":none", "none failed when called with train=True: TypeError"),
        (":nothing", "nothing returns something of type NoneType, wanted"),
        (":arays", "has no callable 'arays'; did you mean arrays"),
        ("", "names no callable"),
    ],
)
def test_a_bad_callable_says_so(tail: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "images.py"
    path.write_text(CODE)
    with pytest.raises(LandscapeError, match=said) as caught:
        load_data(f"{path}{tail}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("digit", "'digit' is no data set, .*; did you mean digits?"),
        ("cifar-10", "did you mean cifar10?"),
        ("imagenet", "there are cifar10, digits, mnist"),
        ("digits:n=3", "digits:n=3 is no data set; write digits, or digits:train=1000"),
        ("mine.npz:n=3", "mine.npz takes no settings; write mine.npz"),
        ("digits:train=0", "digits:train=0 cannot be met: digits has 1437 training images"),
        ("digits:train=1438", "digits has 1437 training images"),
        ("mnist:train", "mnist:train is no data set; write mnist, or mnist:train=1000"),
        ("", "is no spec"),
    ],
)
def test_an_unknown_spec_names_the_nearest(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_data(spec)


def test_an_unknown_split_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="split = 'val' is unknown; write train or test"):
        load_data("digits", split="val")
