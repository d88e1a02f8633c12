// An application with AG-UI's own client: test_agui.py tells it what to do, a line of JSON each.

import { createInterface } from "node:readline";

import { HttpAgent, buildResumeArray } from "@ag-ui/client";

const agents = new Map();

const acts = {
  open: ({ name, url, key, threadId }) => {
    const headers = { Authorization: `Bearer ${key}` };
    agents.set(name, new HttpAgent({ url: `${url}/agui`, headers, threadId }));
  },
  copy: ({ name, from }) => {
    const agent = agents.get(from).clone();
    agent.pendingInterrupts = [...agents.get(from).pendingInterrupts];
    agents.set(name, agent);
  },
  say: ({ name, text }) => agents.get(name).addMessage({ id: text, role: "user", content: text }),
  run: async ({ name, ...parameters }) => {
    const agent = agents.get(name);
    const events = [];
    const problems = [];
    await agent
      .runAgent(parameters, { onEvent: ({ event }) => void events.push(event) })
      .catch((error) => problems.push(String(error)));
    return { events, problems, pending: agent.pendingInterrupts };
  },
  build: ({ name, responses }) => buildResumeArray(agents.get(name).pendingInterrupts, responses),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { act, ...said } = JSON.parse(line);
  console.log(JSON.stringify((await acts[act](said)) ?? null));
}
