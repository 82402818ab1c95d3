// Activation maps over pictures: small maps of bytes, spread over a picture as a veil or as contours.
const HEAT_COLOUR = [0, 229, 255];
const HEAT_CONTOURS = [0.25, 0.5, 0.75]; // of the scale
const HEAT_LINE = 2; // pixels of a contour
const HEAT_EDGE = 0.6; // opacity of its dark edge
const OFF_BREAST = 0.25; // of the veil that is left there

// Where the columns (or rows) of a view fall among n places of a map: first place, second place, share of the second.
function heatPlaces(size, from, to, n) {
  const first = new Int32Array(size), second = new Int32Array(size), share = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const at = Math.min(Math.max((from + ((i + 0.5) / size) * (to - from)) * n - 0.5, 0), n - 1);
    first[i] = Math.floor(at);
    second[i] = Math.min(first[i] + 1, n - 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
}

// A map {width, height, bytes} over a view of the picture (its edges as shares of the picture), bilinear: 0 to 1.
function heatValues(map, width, height, edges = [0, 0, 1, 1]) {
  const columns = heatPlaces(width, edges[0], edges[2], map.width), rows = heatPlaces(height, edges[1], edges[3], map.height);
  const values = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const above = rows.first[y] * map.width, below = rows.second[y] * map.width, down = rows.share[y];
    for (let x = 0; x < width; x++) {
      const a = columns.first[x], b = columns.second[x], right = columns.share[x];
      const top = map.bytes[above + a] * (1 - right) + map.bytes[above + b] * right;
      const bottom = map.bytes[below + a] * (1 - right) + map.bytes[below + b] * right;
      values[y * width + x] = (top * (1 - down) + bottom * down) / 255;
    }
  }
  return values;
}

// Whether a pixel lies beside a contour, which has a dark edge there: it is seen on white too.
function nearLine(values, width, height, x, y, level) {
  const here = level(values[y * width + x]), far = HEAT_LINE + 1;
  const at = (column, row) => column >= 0 && column < width && row >= 0 && row < height && level(values[row * width + column]) !== here;
  return at(x + far, y) || at(x - far, y) || at(x, y + far) || at(x, y - far) || at(x + 1, y) || at(x - 1, y) || at(x, y + 1) || at(x, y - 1);
}

// Pixels of the veil, opacity 0 to 1; or lines where the values pass a quarter, a half and three quarters of the scale.
function heatPixels(values, width, height, { opacity, contour, off = null }) {
  const pixels = new ImageData(width, height);
  const data = new Uint32Array(pixels.data.buffer);
  const [red, green, blue] = HEAT_COLOUR;
  const colour = (blue << 16) | (green << 8) | red;
  const level = value => (value >= HEAT_CONTOURS[2] ? 3 : value >= HEAT_CONTOURS[1] ? 2 : value >= HEAT_CONTOURS[0] ? 1 : 0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      let alpha = values[i], edge = 0;
      if (contour) {
        const here = level(values[i]);
        let other = here;
        for (let far = 1; far <= HEAT_LINE; far++) {
          other = Math.max(other, x + far < width ? level(values[i + far]) : here, y + far < height ? level(values[i + far * width]) : here,
            x >= far ? level(values[i - far]) : here, y >= far ? level(values[i - far * width]) : here);
        }
        alpha = other > here ? 0.55 + 0.15 * other : 0;
        if (!alpha && nearLine(values, width, height, x, y, level)) edge = HEAT_EDGE;
      }
      if (off) [alpha, edge] = [alpha, edge].map(one => one * (OFF_BREAST + (1 - OFF_BREAST) * off[i]));
      data[i] = ((Math.round(255 * (alpha || edge) * opacity) << 24) | (alpha ? colour : 0)) >>> 0;
    }
  }
  return pixels;
}

// A map drawn over the whole of a canvas; `breast` is a map too, 255 where the breast is, or null.
function paintHeat(canvas, map, breast, settings) {
  const { width, height } = canvas;
  const off = breast && heatValues(breast, width, height);
  canvas.getContext("2d").putImageData(heatPixels(heatValues(map, width, height), width, height, { ...settings, off }), 0, 0);
}
