// A BullMQ worker: every job is one trivial step. `node worker.js CONCURRENCY`, with
// BENCH_REDIS_URL and BENCH_PREFIX in the environment.

import { Worker } from "bullmq";
import { Redis } from "ioredis";

const { BENCH_REDIS_URL: url, BENCH_PREFIX: prefix } = process.env;
const concurrency = Number(process.argv[2]);
// A worker's connection blocks on Redis, so BullMQ wants it to wait for as long as it takes.
const connection = new Redis(url, { maxRetriesPerRequest: null });
const worker = new Worker("steps", async () => 1, { connection, prefix, concurrency });
worker.on("error", (error) => console.error(`worker: ${error.message}`));

process.on("SIGTERM", async () => {
  await worker.close();
  connection.disconnect();
});
