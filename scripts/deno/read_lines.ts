export async function* readLines(from: { read(p: Uint8Array): Promise<number | null> }) {
  const decoder = new TextDecoder(), chunk = new Uint8Array(65536);
  let left = "";
  for (let n = await from.read(chunk); n !== null; n = await from.read(chunk)) {
    const lines = (left + decoder.decode(chunk.subarray(0, n), { stream: true })).split("\n");
    left = lines.pop()!;
    yield* lines;
  }
  if (left) yield left;
}
