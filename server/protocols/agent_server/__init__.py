"""LangGraph's Agent Server API, as much of it as its clients use, over our own runs.

Two graphs are offered. On `orchestrator` a thread is our thread, and its interrupts are all that
its run asks. On `questions` a thread is one question: who answers "the thread" there, as Agent
Inbox and Agent Chat UI do, cannot answer another question than the one that was shown.
"""
