// A2A's own client for JavaScript: test_a2a_js.py tells it what to do, a line of JSON each.
import { createInterface } from "node:readline";
import { randomUUID } from "node:crypto";
import { Message, StreamResponse, Task } from "@a2a-js/sdk";
import {
  ClientFactory,
  ClientFactoryOptions,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from "@a2a-js/sdk/client";

let client;

// `parts`: as JSON has them, {text} or {data}.
const write = ({ parts, task = "" }) => {
  const message = { messageId: randomUUID(), taskId: task, role: "ROLE_USER", parts };
  return { tenant: "", message: Message.fromJSON(message) };
};

const does = {
  connect: async ({ url, key, binding }) => {
    const headers = { Authorization: `Bearer ${key}` };
    const fetchImpl = (input, init) =>
      fetch(input, { ...init, headers: { ...init?.headers, ...headers } });
    const factory = new ClientFactory(
      ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
        transports: [
          new JsonRpcTransportFactory({ fetchImpl }),
          new RestTransportFactory({ fetchImpl }),
        ],
        preferredTransports: [binding],
        cardResolver: new DefaultAgentCardResolver({ fetchImpl }),
      }),
    );
    client = await factory.createFromUrl(url);
  },
  send: async (said) => Task.toJSON(await client.sendMessage(write(said))),
  stream: async (said) => {
    const told = [];
    for await (const one of client.sendMessageStream(write(said))) {
      told.push(StreamResponse.toJSON(one));
    }
    return told;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { what, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { value: await does[what](given) };
  } catch (error) {
    answer = { error: error.name, message: error.message };
  }
  console.log(JSON.stringify(answer));
}
