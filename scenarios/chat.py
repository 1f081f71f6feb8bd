"""chat: streamed chat completions of an OpenAI-compatible API, each with a prompt of its own.

    harness perf http://HOST/v1/chat/completions --scenario scenarios/chat.py
        --rate 5 --ttft-p95 300ms --itl-p95 50ms --goodput 95%

Every prompt begins with a new identifier: a cache of prefixes would answer a repeated one without
work. The length of the answer is pinned, or runs could not be compared; a model that may end
earlier needs `"ignore_eos": True` (vLLM) in the body as well. `export CHAT_MODEL=…` names the
model, `export CHAT_API_KEY=…` sends a key.
"""

import os

from harness.traffic import choice, service_asked, stream, uuid
from harness.traffic.user import TrafficUser

MODEL = os.environ.get("CHAT_MODEL", "default")
MAX_TOKENS = 100
PATH = service_asked().health_path  # of the URL, where one is driven
CHAT = PATH if PATH.endswith("/chat/completions") else "/v1/chat/completions"
KEY = os.environ.get("CHAT_API_KEY")
TASKS = (
    "Explain how a hash table works.",
    "Write a letter that asks for a day off.",
    "Name ten uses of a brick.",
    "Summarise the causes of the French Revolution.",
    "Plan a week of cheap meals for two.",
)


class ChatUser(TrafficUser):
    """One turn of a conversation that nobody had before."""

    service = service_asked().name
    feeds = {"new": uuid(), "task": choice(TASKS)}
    mix = [
        stream(
            CHAT,
            name="chat",
            headers={"authorization": f"Bearer {KEY}"} if KEY else {},
            json_body={
                "model": MODEL,
                "messages": [
                    {"role": "system", "content": "Conversation {new}. Answer at length."},
                    {"role": "user", "content": "{task}"},
                ],
                "max_tokens": MAX_TOKENS,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        )
    ]
