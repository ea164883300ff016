"""The tool file_search: stores are searched for the last question before the model begins.

OpenAI's models decide whether to search, and for what; the small ones that run here do so badly, so it is always done.
"""

from __future__ import annotations

from collections.abc import Sequence

from mongarsd.api.openai.requests import ChatMessage
from mongarsd.api.openai.responses.requests import FileSearch
from mongarsd.ground.errors import NotFound
from mongarsd.memory.conversations.types import Searched
from mongarsd.memory.documents.documents import Documents
from mongarsd.memory.documents.filters import compile_filter

#: Passages when the request does not say. A chunk has about 200 tokens, and small contexts are full soon.
RESULTS = 4
#: Characters of a question that count, from its end.
MAX_QUERY = 4000


async def search(
    documents: Documents, account: str, tool: FileSearch, messages: Sequence[ChatMessage]
) -> Searched | None:
    """None unless a user has the last word. Raises NotFound, BadRequest, StorageUnavailable."""
    if not messages or messages[-1].role != "user":
        return None
    query = str(messages[-1].content)[-MAX_QUERY:]
    ranking = tool.ranking_options
    try:
        found = await documents.search(
            account,
            tool.vector_store_ids,
            query,
            tool.max_num_results or RESULTS,
            test=compile_filter(tool.filters, "tools.filters") if tool.filters else None,
            threshold=(ranking and ranking.score_threshold) or 0.0,
        )
    except NotFound as error:
        error.param = "tools.vector_store_ids"
        raise
    results = tuple(
        {
            "file_id": one.file,
            "filename": one.filename,
            "score": round(one.score, 4),
            "attributes": one.attributes,
            "text": one.text,
        }
        for one in found
    )
    return Searched((query,), results)
