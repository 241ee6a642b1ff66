// The load generator for BullMQ: BENCH_REDIS_URL and BENCH_PREFIX in the environment.
//
// Each line of the input asks for one load, {"steps", "in_flight", "warm_up_ms", "window_ms"}. The output
// says {"window":"open"} when the warm-up is over, then {"window":"closed"} with what ended inside.
// One step is one job; a chain is a flow in which each job waits for its only child.

import { FlowProducer, Queue, QueueEvents } from "bullmq";
import { Redis } from "ioredis";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";

const { BENCH_REDIS_URL: url, BENCH_PREFIX: prefix } = process.env;
const connect = () => new Redis(url, { maxRetriesPerRequest: null });
// Long enough that no event is trimmed before it is read: thousands of jobs a second have several each.
const streams = { events: { maxLen: 200_000 } };
const queue = new Queue("steps", { connection: connect(), prefix, streams });
const flows = new FlowProducer({ connection: connect(), prefix });
// From the stream's beginning: "what is new" would begin at some moment after the first job.
const events = new QueueEvents("steps", { connection: connect(), prefix, lastEventId: "0-0" });
// Finished jobs are kept for a while, as a production queue does, and within a bound.
const options = { removeOnComplete: { count: 1000 }, removeOnFail: { count: 1000 } };

const waiting = new Map();
events.on("completed", ({ jobId }) => {
  waiting.get(jobId)?.resolve();
  waiting.delete(jobId);
});
events.on("failed", ({ jobId, failedReason }) => {
  waiting.get(jobId)?.reject(new Error(failedReason));
  waiting.delete(jobId);
});

let number = 0;
async function once(steps) {
  const jobId = `bench-${process.pid}-${(number += 1)}`;
  // Registered before the job exists: its end may be told before the answer to its creation.
  const ended = new Promise((resolve, reject) => waiting.set(jobId, { resolve, reject }));
  if (steps === 1) {
    await queue.add("step", {}, { ...options, jobId });
  } else {
    let node = { name: "step", queueName: "steps", data: {}, opts: options };
    for (let step = 2; step <= steps; step += 1) {
      const opts = step === steps ? { ...options, jobId } : options;
      node = { name: "step", queueName: "steps", data: {}, opts, children: [node] };
    }
    await flows.add(node);
  }
  await ended;
}

async function load({ steps, in_flight, warm_up_ms, window_ms }) {
  const opens = performance.now() + warm_up_ms;
  const closes = opens + window_ms;
  const micros = [];
  const loop = async () => {
    for (let start = performance.now(); start < closes; start = performance.now()) {
      await once(steps);
      const end = performance.now();
      if (end >= opens && end < closes) micros.push(Math.round((end - start) * 1000));
    }
  };
  const say = async (window, after) => {
    await setTimeout(after);
    console.log(JSON.stringify({ window }));
  };
  const said = [say("open", warm_up_ms), say("closed", warm_up_ms + window_ms)];
  await Promise.all([...said, ...Array.from({ length: in_flight }, loop)]);
  console.log(JSON.stringify({ micros }));
}

await events.waitUntilReady();
// The workers are there when one has done a first job.
await once(1);
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  await load(JSON.parse(line));
}
await Promise.all([queue.close(), flows.close(), events.close()]);
process.exit(0);
