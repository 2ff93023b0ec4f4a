// Ask line-worker about one picture: node client.mjs URL IMAGE OUTPUT   (Node.js 18 or later, no packages)
//
// URL is like http://127.0.0.1:8080/image-anomaly-detection. Exit code: 0 OK, 1 NG, 2 anything else, so that a part
// passes only where the service said OK. LINE_API_KEY in the environment is sent where the service asks for keys.

import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const TRIES = 5;
const LONGEST_WAIT_S = 30;

/** What the service says of a picture: the field `result` of its answer. */
async function ask(url, image) {
  const headers = { 'Content-Type': 'application/json' };
  if (process.env.LINE_API_KEY) headers['X-API-Key'] = process.env.LINE_API_KEY;
  const body = JSON.stringify({ image: image.toString('base64'), visualize: true });

  let response;
  for (let attempt = 1; ; attempt++) {
    response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(60_000) });
    const after = Number.parseInt(response.headers.get('Retry-After') ?? '', 10); // the line is full, or not ready yet
    if (Number.isNaN(after) || attempt === TRIES) break;
    await response.arrayBuffer(); // read to its end, so that the connection is used again
    await sleep(1000 * Math.min(after, LONGEST_WAIT_S));
  }

  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = {}; // not from the service: a proxy, another program
  }
  if (response.status !== 200 || answer.errorCode !== 0) {
    throw new Error(`${response.status}: ${answer.errorMsg ?? text.slice(0, 200)}`);
  }
  return answer.result;
}

async function main(url, image, output) {
  const result = await ask(url, await readFile(image));
  const [height, width] = result.size ?? [0, 0];
  const labelMap = result.labelMap ?? []; // row by row: 255 is an anomaly, 0 is none
  if (labelMap.length !== height * width) {
    throw new Error(`${labelMap.length} values in a labelMap of ${height} x ${width}`);
  }
  const anomalous = labelMap.filter((value) => value !== 0).length;
  if (result.image) await writeFile(output, Buffer.from(result.image, 'base64'));
  console.log(
    `${result.verdict}: score ${result.score}, threshold ${result.threshold}, ` +
      `size ${height} x ${width}, ${anomalous} anomalous pixels`,
  );
  return { OK: 0, NG: 1 }[result.verdict] ?? 2; // INVALID and LATE: nobody knows
}

if (process.argv.length !== 5) {
  console.error('usage: node client.mjs URL IMAGE OUTPUT');
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await main(...process.argv.slice(2));
  } catch (error) {
    console.error(`error: ${error.message}${error.cause ? ` (${error.cause.message || error.cause.code})` : ''}`);
    process.exitCode = 2; // whatever it was: not OK
  }
}
