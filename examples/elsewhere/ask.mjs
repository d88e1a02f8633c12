// A question from Node, without a package. Needs HITL_URL, HITL_KEY (scope `ask`).
// `node ask.mjs KEY`: KEY names the question, the same one is asked once.
const requests = `${process.env.HITL_URL}/api/hitl/requests`;
const headers = { Authorization: `Bearer ${process.env.HITL_KEY}`, "Content-Type": "application/json" };

async function call(address, more) {
  const response = await fetch(address, more);
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}

async function ask(question, key) {
  const body = JSON.stringify(question);
  const asked = await call(requests, { method: "POST", headers: { ...headers, "Idempotency-Key": key }, body });
  for (;;) {
    const { answer } = await call(`${requests}/${asked.requestId}?wait=60`, { headers });
    if (answer !== null) return answer; // null: nobody has answered yet
  }
}

const question = { question: "Deploy 2.4?", kind: "approval", urgency: "high", originAgent: "deploy script" };
const answer = await ask(question, process.argv[2]);
console.log(answer.approved === true ? "deploying" : `not deployed: ${answer.reason}`);
