"""What agents in processes of their own remember, when they are killed and come back."""

from contextlib import closing
from pathlib import Path

from hitl_agent.store import LocalStore

NOTES = ("notes", "ann")


async def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    with closing(LocalStore(tmp_path / "file")) as store:
        store.put(NOTES, "lunch", {"likes": "soup"})
        await store.aput(NOTES, "dinner", {"likes": "bread"})
        await store.aput((*NOTES, "old"), "lunch", {"likes": "nothing"})
        await store.aput(NOTES, "lunch", {"likes": "salad"})
        await store.adelete((*NOTES, "old"), "lunch")
        with closing(LocalStore(tmp_path / "file")) as other:  # nobody closed the first one
            found = await other.asearch(NOTES)
            assert {one.key: one.value for one in found} == {
                "lunch": {"likes": "salad"},
                "dinner": {"likes": "bread"},
            }
            assert other.get((*NOTES, "old"), "lunch") is None
