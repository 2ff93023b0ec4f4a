// line-worker's streams with ioredis (npm install):
//
//   node client.mjs publish part.jpg --camera c1       publish a frame; prints its id
//   node client.mjs results --label-maps ./maps        each verdict from now on; the labelMap of each NG as a PNG
//   node client.mjs alerts --group my-subscriber       each alert, until it has been acknowledged
//
// LINE_REDIS__URL (redis://127.0.0.1:6379/0) and LINE_LINE (line1) in the environment say where the line is.

import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis, ReplyError } from 'ioredis';

const LINE = `{${process.env.LINE_LINE ?? 'line1'}}`; // the braces are part of the keys
const BLOCK_MS = 5_000;
const ENCODINGS = { '.png': 'png', '.webp': 'webp', '.bmp': 'bmp' };

/** A connection that notices a silent network, and tries nothing twice: a frame sent twice is two frames. */
function connect(reconnectMs) {
  const redis = new Redis(process.env.LINE_REDIS__URL ?? 'redis://127.0.0.1:6379/0', {
    connectTimeout: 5_000,
    socketTimeout: 3 * BLOCK_MS, // longer than a blocked read
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => reconnectMs, // null: give up
  });
  redis.on('error', (error) => console.error(`no Redis: ${error.message || error.code}`));
  return redis;
}

/** One XADD with flat fields. More of them (seq, part_id, deadline_ms, reply_to …) are in line-worker's README. */
async function publish(redis, file, camera) {
  const encoding = ENCODINGS[extname(file).toLowerCase()] ?? 'jpeg';
  const data = await readFile(file);
  console.log(await redis.xadd(`${LINE}:frames`, '*', 'camera', camera, 'encoding', encoding, 'data', data));
}

/** Follow the results; what was given before is left out. */
async function results(redis, labelMaps) {
  const stream = `${LINE}:results`;
  let last;
  for (;;) {
    let page;
    try {
      // Not "$" at each read: what came between two reads would be lost.
      last ??= (await redis.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0';
      page = await redis.xreadBuffer('COUNT', 100, 'BLOCK', BLOCK_MS, 'STREAMS', stream, last);
    } catch (error) {
      await waitForRedis(error);
      continue;
    }
    for (const [id, flat] of page?.[0][1] ?? []) {
      const result = fieldsOf(flat); // Buffers, since the labelMap is a PNG
      console.log(`${result.frame} ${result.camera} ${result.verdict} ${String(result.score) || '-'}`);
      if (labelMaps && String(result.verdict) === 'NG') {
        await writeFile(join(labelMaps, `${result.frame}.png`), result.label_map);
      }
      last = String(id);
    }
  }
}

/** Handle each alert at least once: it is acknowledged after it was handled, and else comes again. */
async function alerts(redis, group, consumer) {
  const stream = `${LINE}:alerts`;
  let begin = '$'; // a new subscriber begins with what comes from now on; a group that exists keeps its place
  let position = '0'; // first what this consumer was given before and did not acknowledge
  for (;;) {
    try {
      if (begin) await createGroup(redis, stream, group, begin);
      begin = '';
      const page = await redis.xreadgroup(
        ...['GROUP', group, consumer, 'COUNT', 100, 'BLOCK', BLOCK_MS, 'STREAMS', stream, position],
      );
      const entries = page?.[0][1] ?? [];
      for (const [id, flat] of entries) {
        if (flat) await handle(fieldsOf(flat)); // else it was trimmed in the meantime
        await redis.xack(stream, group, id);
      }
      if (position !== '>') position = entries.at(-1)?.[0] ?? '>'; // then what nobody was given yet
    } catch (error) {
      if (/^(NOGROUP|UNBLOCKED)/.test(error.message)) {
        begin = '0'; // Redis was emptied or the group deleted: take all there is
      } else {
        await waitForRedis(error);
        position = '0'; // what was under way when it broke off
      }
    }
  }
}

/** Unless it exists. */
async function createGroup(redis, stream, group, start) {
  try {
    await redis.xgroup('CREATE', stream, group, start, 'MKSTREAM');
  } catch (error) {
    if (!error.message.startsWith('BUSYGROUP')) throw error;
  }
}

/** Your part. After a crash an alert may come again: `alert_id`, `state` and `at` are then the same. */
async function handle(alert) {
  console.log(`${alert.alert_id} ${alert.state} ${alert.message}`);
}

function fieldsOf(flat) {
  const fields = {};
  for (let i = 0; i < flat.length; i += 2) fields[flat[i]] = flat[i + 1];
  return fields;
}

/** Between two tries; what Redis itself refuses (a login, a right) is no reason to wait. */
async function waitForRedis(error) {
  if (error instanceof ReplyError) throw error;
  await sleep(1_000);
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    camera: { type: 'string', default: 'c1' },
    'label-maps': { type: 'string' },
    group: { type: 'string', default: 'my-subscriber' },
    consumer: { type: 'string', default: hostname() }, // the same at each start, so that it goes on
  },
});
const [command, file] = positionals;
const redis = connect(command === 'publish' ? null : 1_000);
try {
  if (command === 'publish' && file) await publish(redis, file, values.camera);
  else if (command === 'results') await results(redis, values['label-maps']);
  else if (command === 'alerts') await alerts(redis, values.group, values.consumer);
  else throw new Error('usage: node client.mjs publish FILE | results | alerts');
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
} finally {
  redis.disconnect();
}
