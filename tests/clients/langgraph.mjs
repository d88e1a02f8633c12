// LangGraph's SDK and useStream, told by lines of JSON what to do.
import { createInterface } from "node:readline";
import { Window } from "happy-dom";
import { Client } from "@langchain/langgraph-sdk";

const window = new Window();
const { document, navigator, HTMLIFrameElement } = window;
for (const [name, value] of Object.entries({ window, document, navigator, HTMLIFrameElement })) {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}
const { createElement } = await import("react");
const { createRoot } = await import("react-dom/client");
const hooks = {
  new: (await import("@langchain/react")).useStream,
  old: (await import("@langchain/langgraph-sdk/react")).useStream,
};

let client, page, root;

function show(hook, url, key, assistantId, threadId) {
  const useStream = hooks[hook];
  const options = { apiUrl: url, apiKey: key, assistantId, threadId, fetchStateHistory: true };
  function Page() {
    page = useStream(options);
    return null;
  }
  root = createRoot(document.createElement("div"));
  root.render(createElement(Page));
}

async function until(find) {
  for (let tries = 0; tries < 400; tries += 1) {
    const found = find();
    if (found) return found;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  throw new Error("it did not come");
}

const does = {
  connect: ({ url, key }) => void (client = new Client({ apiUrl: url, apiKey: key })),
  search: ({ body }) => client.threads.search(body),
  stream: async ({ thread, graph, body }) => {
    const parts = [];
    for await (const part of client.runs.stream(thread, graph, body)) parts.push(part);
    return parts;
  },
  create: ({ thread, graph, body }) => client.runs.create(thread, graph, body),
  show: async ({ hook, url, key, graph, thread }) => {
    show(hook, url, key, graph, thread);
    return (await until(() => page?.interrupt)).value;
  },
  respond: async ({ value }) => {
    const id = page.interrupt.id;
    await page.respond(value, { interruptId: id });
    await until(() => page.values?.result);
    return page.values.result;
  },
  submit: async ({ resume }) => {
    await page.submit(undefined, { command: { resume } });
    await until(() => !page.isLoading && (page.error || page.values?.result));
    return { result: page.values?.result, refusal: page.error?.message };
  },
  close: () => root.unmount(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { what, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await does[what](given)) ?? null };
  } catch (error) {
    answer = { status: error.status ?? null, error: `${error.message ?? error}` };
  }
  console.log(JSON.stringify(answer));
}
