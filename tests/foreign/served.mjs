// The graphs of served.py in JavaScript, which `langgraphjs dev` serves: test_langgraph_dev.py.

import { appendFileSync, readFileSync } from "node:fs";

import { Annotation, START, StateGraph, interrupt } from "@langchain/langgraph";

const State = Annotation.Root({
  objective: Annotation(),
  log: Annotation(),
  messages: Annotation(),
  answer: Annotation({ reducer: (before, more) => before.concat(more), default: () => [] }),
});

const write = (state, line) => appendFileSync(state.log, `${line}\n`);

const prepare = async (state) => {
  write(state, "prepare");
  return {};
};

const approve = async (state) => {
  const said = interrupt({ question: "Publish?", kind: "approval" });
  write(state, `approve ${said.approved}`);
  return { answer: [said.approved] };
};

const askAge = async (state) => {
  const said = interrupt("Age?");
  write(state, `age ${said}`);
  return { answer: [said] };
};

const askTwice = async (state) => {
  const first = interrupt("Sure?");
  const second = interrupt("Sure?");
  write(state, `${first} ${second}`);
  return { answer: [first, second] };
};

const failOnce = async (state) => {
  write(state, "try");
  if (readFileSync(state.log, "utf8").split("try").length === 2) throw new Error("out of luck");
  return { messages: [{ role: "assistant", content: "done" }] };
};

const publish = async (state) => {
  write(state, "publish");
  return { messages: [{ role: "assistant", content: "published" }] };
};

export const both = new StateGraph(State)
  .addNode("approve", approve)
  .addNode("askAge", askAge)
  .addEdge(START, "approve")
  .addEdge(START, "askAge")
  .compile();

export const twice = new StateGraph(State)
  .addNode("askTwice", askTwice)
  .addEdge(START, "askTwice")
  .compile();

export const joined = new StateGraph(State)
  .addNode("left", prepare)
  .addNode("right", prepare)
  .addNode("approve", approve)
  .addNode("failOnce", failOnce)
  .addEdge(START, "left")
  .addEdge(START, "right")
  .addEdge(["left", "right"], "approve")
  .addEdge("approve", "failOnce")
  .compile();

export const stopped = new StateGraph(State)
  .addNode("prepare", prepare)
  .addNode("publish", publish)
  .addEdge(START, "prepare")
  .addEdge("prepare", "publish")
  .compile({ interruptBefore: ["publish"] });
