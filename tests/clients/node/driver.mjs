// Runs the official Node client as it is told to, one JSON line a command. The protocol: see ../official.py.
import { createInterface } from "node:readline";
import OpenAI from "openai";

const SAME_AS_PYTHONS = { APIConnectionTimeoutError: "APITimeoutError" };
const running = new Map();

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function described(error, signal) {
  const name = signal.aborted ? "Aborted" : error.constructor.name;
  const { status, code, param, type, message, error: body } = error;
  return { class: SAME_AS_PYTHONS[name] ?? name, status, code, param, type, message, body };
}

function found(client, operation) {
  const path = operation.split(".");
  const name = path.pop();
  const resource = path.reduce((node, part) => node[part], client);
  return resource[name].bind(resource);
}

async function run({ id, client: settings, operation, arguments: given, options }, signal) {
  const client = new OpenAI({
    baseURL: settings.base_url,
    apiKey: settings.api_key,
    maxRetries: settings.max_retries,
    timeout: (options.timeout ?? settings.timeout) * 1000,
  });
  const call = found(client, operation);
  const pending = call(...given, { signal, headers: options.headers });
  if (operation.endsWith(".stream")) {
    say({ id, answer: await pending.finalChatCompletion(), headers: {} });
    return;
  }
  const { data, response } = await pending.withResponse();
  const headers = Object.fromEntries(response.headers);
  if (given[0]?.stream === true) {
    say({ id, headers });
    for await (const chunk of data) say({ id, chunk });
    signal.throwIfAborted();
    say({ id, end: true });
  } else {
    say({ id, answer: operation === "models.list" ? { data: data.data } : data, headers });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.abort !== undefined) {
    running.get(command.abort)?.abort();
    continue;
  }
  const controller = new AbortController();
  running.set(command.id, controller);
  run(command, controller.signal)
    .catch((error) => say({ id: command.id, error: described(error, controller.signal) }))
    .finally(() => running.delete(command.id));
}
