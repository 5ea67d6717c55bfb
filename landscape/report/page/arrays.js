// The arrays of the page: one deflated text, bytes of one significance together (landscape/report/blob.py).

const arrays = [];

async function unpack(text, kind) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(kind));
  return new Response(stream).arrayBuffer();
}

async function readArrays(text, index) {
  const bytes = new Uint8Array(await unpack(text, "deflate"));
  const types = { f8: Float64Array, f4: Float32Array, u1: Uint8Array };
  let start = 0;
  for (const [code, shape] of index) {
    const width = Number(code[1]);
    const count = shape.reduce((product, size) => product * size, 1);
    const whole = new Uint8Array(count * width);
    for (let byte = 0; byte < width; byte++)
      for (let i = 0; i < count; i++) whole[i * width + byte] = bytes[start + byte * count + i];
    start += count * width;
    arrays.push({ shape, data: new types[code](whole.buffer) });
  }
}

const numbers = (place) => arrays[place].data;

// The grid (ny, nx) of one radius of an array (eps, y, x), as rows.
function grid(place, rung) {
  const [, ny, nx] = arrays[place].shape;
  const own = numbers(place).subarray(rung * ny * nx, (rung + 1) * ny * nx);
  return Array.from({ length: ny }, (_, j) => own.subarray(j * nx, (j + 1) * nx));
}
