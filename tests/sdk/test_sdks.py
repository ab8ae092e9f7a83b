"""The official SDKs of Deepgram, OpenAI and ElevenLabs against a sandbox at $SANDBOX_ADDR."""

import json
import os
import threading
import time
import unittest
import urllib.request

from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError as ElevenLabsError
from openai import APIError, AuthenticationError, BadRequestError, NotFoundError, OpenAI, RateLimitError
from websockets.exceptions import InvalidStatus

ADDR = os.environ["SANDBOX_ADDR"]
HTTP = f"http://{ADDR}"
WS = f"ws://{ADDR}"
VOICE = "slt"
LINE = "Yes, I am looking for a two bedroom flat in Whitefield."
FRAME_MS = 100


def arm(name, value=None, count=1):
    body = json.dumps({"name": name, "value": value, "count": count}).encode()
    request = urllib.request.Request(
        f"{HTTP}/__sandbox/faults", data=body, headers={"content-type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request).close()


def plain(text):
    return [word.strip(".,?!").lower() for word in text.split()]


def speech(text, output_format="pcm_8000"):
    client = ElevenLabs(api_key="key", base_url=HTTP)
    return b"".join(
        client.text_to_speech.stream(
            voice_id=VOICE, text=text, model_id="eleven_flash_v2_5", output_format=output_format
        )
    )


class Chat(unittest.TestCase):
    def setUp(self):
        self.client = OpenAI(api_key="key", base_url=f"{HTTP}/v1", max_retries=0)

    def test_a_stream_gives_text_and_usage(self):
        stream = self.client.chat.completions.create(
            model="gpt-6-luna",
            stream=True,
            stream_options={"include_usage": True},
            reasoning_effort="none",
            max_completion_tokens=200,
            messages=[
                {"role": "system", "content": "You are Meera, an AI assistant of Lake View Homes."},
                {"role": "user", "content": "Who is this?"},
            ],
        )
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertIn("Meera", text)
        self.assertEqual(chunks[-2].choices[0].finish_reason, "stop")
        self.assertGreater(chunks[-1].usage.completion_tokens, 3)

    def test_tools_are_called_in_fragments_and_answered(self):
        tools = [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "strict": True,
                    "parameters": {
                        "type": "object",
                        "properties": properties,
                        "required": list(properties),
                        "additionalProperties": False,
                    },
                },
            }
            for name, properties in {
                "mark_do_not_call": {"note": {"type": ["string", "null"]}},
                "end_call": {"reason": {"type": "string"}},
            }.items()
        ]
        messages = [{"role": "user", "content": "Do not call me again."}]
        called = []
        for _ in range(4):
            with self.client.chat.completions.stream(
                model="gpt-6-luna", reasoning_effort="none", messages=messages, tools=tools
            ) as stream:
                message = stream.get_final_completion().choices[0].message
            messages.append(message.model_dump(include={"role", "content", "tool_calls"}, exclude_none=True))
            for call in message.tool_calls or []:
                called.append(call.function.name)
                json.loads(call.function.arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "ok"})
            if message.content:
                break
        self.assertEqual(called, ["mark_do_not_call", "end_call"])
        self.assertIn("not call you again", message.content)

    def test_structured_output_fits_its_schema(self):
        schema = {
            "type": "object",
            "additionalProperties": False,
            "required": ["summary", "disposition", "score"],
            "properties": {
                "summary": {"type": "string"},
                "disposition": {"enum": ["qualified", "not_interested", "wrong_number"]},
                "score": {"type": "integer", "minimum": 0, "maximum": 100},
            },
        }
        completion = self.client.chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "user", "content": "Agent: Hello\nCallee: Sorry, wrong number."}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "call_summary", "strict": True, "schema": schema},
            },
        )
        answer = json.loads(completion.choices[0].message.content)
        self.assertEqual(answer["disposition"], "wrong_number")
        self.assertEqual(set(answer), set(schema["properties"]))
        self.assertEqual(completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens)

    def test_errors_are_the_ones_the_sdk_knows(self):
        ask = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
        with self.assertRaises(AuthenticationError):
            self.client.with_options(api_key="bad-key").chat.completions.create(**ask)
        with self.assertRaises(NotFoundError) as unknown:
            self.client.chat.completions.create(**{**ask, "model": "gpt-3"})
        self.assertEqual(unknown.exception.code, "model_not_found")
        with self.assertRaises(BadRequestError):
            self.client.chat.completions.create(**ask, max_tokens=5)
        arm("openai.refuse", {"status": 429, "code": "insufficient_quota"})
        with self.assertRaises(RateLimitError) as quota:
            self.client.chat.completions.create(**ask)
        self.assertEqual(quota.exception.code, "insufficient_quota")
        arm("openai.error_midstream", 1)
        with self.assertRaises(APIError):
            list(self.client.chat.completions.create(**ask, stream=True))

    def test_models_tell_when_they_end(self):
        models = {model.id: model for model in self.client.models.list()}
        self.assertIn("gpt-6-luna", models)
        self.assertIsNone(models["gpt-6-luna"].shutdown_date)


class Transcription(unittest.TestCase):
    def connect(self, api_key="key", **options):
        environment = DeepgramClientEnvironment(base=HTTP, production=WS, agent=WS, agent_rest=HTTP)
        defaults = {"model": "nova-3", "encoding": "linear16", "sample_rate": 8000, "interim_results": "true"}
        return DeepgramClient(api_key=api_key, environment=environment).listen.v1.connect(**{**defaults, **options})

    def transcribe(self, audio, bytes_per_ms, **options):
        """Streams at about real time, then closes; gives every message."""
        messages, opened = [], threading.Event()
        with self.connect(**options) as socket:
            socket.on(EventType.OPEN, lambda _: opened.set())
            socket.on(EventType.MESSAGE, messages.append)
            listener = threading.Thread(target=socket.start_listening)
            listener.start()
            opened.wait(5)
            size = FRAME_MS * bytes_per_ms
            for at in range(0, len(audio), size):
                socket.send_media(audio[at : at + size])
                time.sleep(FRAME_MS / 1000 * 0.85)
            socket.send_finalize()
            socket.send_close_stream()
            listener.join(10)
            self.assertFalse(listener.is_alive())
        return messages

    def check(self, messages):
        results = [message for message in messages if message.type == "Results"]
        finals = [result.channel.alternatives[0].transcript for result in results if result.is_final]
        interims = [result.channel.alternatives[0].transcript for result in results if not result.is_final]
        self.assertEqual(plain(" ".join(finals)), plain(LINE))
        self.assertGreater(len(interims), 2)
        self.assertTrue(all(" ".join(plain(LINE)).startswith(" ".join(plain(interim))) for interim in interims))
        self.assertEqual(messages[-1].type, "Metadata")
        return results

    def test_a_spoken_line_comes_back_word_by_word(self):
        audio = speech(LINE) + bytes(16 * 800)
        messages = self.transcribe(
            audio, 16, endpointing=300, utterance_end_ms=1000, vad_events="true", keyterm=["Whitefield", "BHK"]
        )
        results = self.check(messages)
        self.assertTrue(any(result.speech_final for result in results))
        self.assertTrue(any(message.type == "SpeechStarted" for message in messages))

    def test_mu_law_from_the_telephone_is_understood_too(self):
        audio = speech(LINE, "ulaw_8000") + b"\xff" * (8 * 500)
        self.check(self.transcribe(audio, 8, encoding="mulaw", endpointing=300, smart_format="true"))

    def test_wideband_audio_is_understood_too(self):
        audio = speech(LINE, "pcm_16000") + bytes(32 * 500)
        self.check(self.transcribe(audio, 32, sample_rate=16000, endpointing=300))

    def test_what_was_cut_off_was_not_heard(self):
        audio = speech(LINE)
        messages = self.transcribe(audio[: len(audio) // 2], 16, endpointing=300)
        finals = [m.channel.alternatives[0].transcript for m in messages if m.type == "Results" and m.is_final]
        words = plain(" ".join(finals))
        self.assertTrue(2 <= len(words) < len(plain(LINE)))
        self.assertEqual(words, plain(LINE)[: len(words)])

    def test_a_handshake_can_fail(self):
        for options, status in [({"api_key": "bad-key"}, 401), ({"model": "flux-general-en"}, 400)]:
            with self.assertRaises(InvalidStatus) as refused, self.connect(**options):
                pass
            response = refused.exception.response
            self.assertEqual(response.status_code, status)
            self.assertEqual(json.loads(response.body)["request_id"], response.headers["dg-request-id"])


class Synthesis(unittest.TestCase):
    def setUp(self):
        self.client = ElevenLabs(api_key="key", base_url=HTTP)
        # The SDK insists on wss for its realtime call, whatever the base URL.
        self.client.text_to_speech._ws_base_url = WS

    def test_the_http_stream_speaks(self):
        pcm, mu_law = speech("Hello, this is Asha."), speech("Hello, this is Asha.", "ulaw_8000")
        self.assertEqual(len(pcm), 2 * len(mu_law))
        self.assertTrue(0.5 < len(mu_law) / 8000 < 5)
        self.assertGreater(max(abs(int.from_bytes(pcm[at : at + 2], "little", signed=True)) for at in range(0, len(pcm), 2)), 5000)

    def test_the_realtime_socket_speaks_everything_it_was_given(self):
        def text():
            yield "Hello there, "
            yield "this is a test of the realtime socket. "
            yield "Goodbye."

        audio = b"".join(
            self.client.text_to_speech.convert_realtime(
                voice_id=VOICE, text=text(), model_id="eleven_flash_v2_5", output_format="pcm_8000"
            )
        )
        self.assertGreater(len(audio) / 16000, 2)

    def test_errors_carry_their_status(self):
        def speak(api_key="key", voice_id=VOICE):
            client = ElevenLabs(api_key=api_key, base_url=HTTP)
            return b"".join(client.text_to_speech.stream(voice_id=voice_id, text="Hello", output_format="pcm_8000"))

        for options, status, named in [
            ({"api_key": "bad-key"}, 401, "invalid_api_key"),
            ({"voice_id": "missing-voice"}, 404, "voice_not_found"),
        ]:
            with self.assertRaises(ElevenLabsError) as refused:
                speak(**options)
            self.assertEqual(refused.exception.status_code, status)
            self.assertEqual(refused.exception.body["detail"]["status"], named)
        arm("elevenlabs.quota")
        with self.assertRaises(ElevenLabsError) as quota:
            speak()
        self.assertEqual(quota.exception.body["detail"]["status"], "quota_exceeded")


if __name__ == "__main__":
    unittest.main()
