"""The official SDKs of every provider against a sandbox at $SANDBOX_ADDR."""

import base64
import io
import json
import os
import threading
import time
import unittest
import urllib.request
import wave

import anthropic
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError as ElevenLabsError
from openai import APIError, AuthenticationError, BadRequestError, NotFoundError, OpenAI, RateLimitError
from sarvamai import SarvamAI
from sarvamai.environment import SarvamAIEnvironment
from sarvamai.types import RealtimeAudioInput, RealtimeEnd
from websockets.exceptions import InvalidStatus

ADDR = os.environ["SANDBOX_ADDR"]
HTTP = f"http://{ADDR}"
WS = f"ws://{ADDR}"
VOICE = "slt"
LINE = "Yes, I am looking for a two bedroom flat in Whitefield."
FRAME_MS = 100


def arm(name, value=None, count=1, match=None):
    fault = {"name": name, "value": value, "count": count}
    body = json.dumps(fault if match is None else {**fault, "match": match}).encode()
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
        for lasting in ["gpt-6-luna", "gpt-live-transcribe", "gpt-realtime-2.1"]:
            self.assertIsNone(models[lasting].shutdown_date)
        arm("openai.shutdown_date", "2030-01-31", match="gpt-6-luna")
        models = {model.id: model for model in self.client.models.list()}
        self.assertEqual(str(models["gpt-6-luna"].shutdown_date), "2030-01-31")
        arm("openai.shut_down")
        with self.assertRaises(NotFoundError) as gone:
            self.client.chat.completions.create(model="gpt-6-luna", messages=[{"role": "user", "content": "hi"}])
        self.assertEqual(gone.exception.code, "model_not_found")

    def test_a_short_wait_that_is_asked_for_is_kept(self):
        arm("openai.refuse", {"status": 429, "retry_after_ms": 200})
        client, began = self.client.with_options(max_retries=1), time.monotonic()
        answer = client.chat.completions.create(model="gpt-6-luna", messages=[{"role": "user", "content": "Who is this?"}])
        self.assertTrue(answer.choices[0].message.content)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_a_file_of_speech_is_spoken(self):
        with self.client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="coral", input="Hello, this is Asha.", response_format="pcm"
        ) as response:
            pcm = b"".join(response.iter_bytes())
        self.assertTrue(0.5 < len(pcm) / 48000 < 5)


class Gemini(unittest.TestCase):
    """OpenAI's SDK at Gemini's endpoint: signatures of calls go back as they came."""

    def setUp(self):
        self.client = OpenAI(api_key="key", base_url=f"{HTTP}/v1beta/openai/", max_retries=0)
        parameters = {"type": "object", "properties": {"note": {"type": "string"}}}
        self.ask = {
            "model": "gemini-3.8-flash",
            "tools": [{"type": "function", "function": {"name": "mark_do_not_call", "parameters": parameters}}],
        }
        self.messages = [{"role": "user", "content": "Do not call me again."}]

    def test_a_call_is_shown_again_with_its_signature_and_refused_without(self):
        message = self.client.chat.completions.create(**self.ask, messages=self.messages).choices[0].message
        shown = message.model_dump(include={"role", "content", "tool_calls"}, exclude_none=True)
        self.assertIn("thought_signature", shown["tool_calls"][0]["extra_content"]["google"])
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "ok"}
        self.client.chat.completions.create(**self.ask, messages=[*self.messages, shown, result])
        del shown["tool_calls"][0]["extra_content"]
        with self.assertRaises(BadRequestError):
            self.client.chat.completions.create(**self.ask, messages=[*self.messages, shown, result])

    def test_a_stream_brings_the_call_whole_and_usage_with_every_chunk(self):
        stream = self.client.chat.completions.create(
            **self.ask, messages=self.messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        self.assertTrue(all(chunk.usage.prompt_tokens for chunk in chunks))
        calls = [chunk.choices[0].delta.tool_calls for chunk in chunks if chunk.choices[0].delta.tool_calls]
        self.assertEqual(len(calls), 1)
        json.loads(calls[0][0].function.arguments)


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


class Turns(unittest.TestCase):
    def test_flux_tells_turns_instead_of_segments(self):
        environment = DeepgramClientEnvironment(base=HTTP, production=WS, agent=WS, agent_rest=HTTP)
        client = DeepgramClient(api_key="key", environment=environment)
        audio = speech(LINE, "ulaw_8000") + b"\xff" * (8 * 900)
        messages = []
        with client.listen.v2.connect(
            model="flux-general-en", encoding="mulaw", sample_rate=8000, eager_eot_threshold=0.5
        ) as socket:
            socket.on(EventType.MESSAGE, messages.append)
            listener = threading.Thread(target=socket.start_listening)
            listener.start()
            for at in range(0, len(audio), 800):
                socket.send_media(audio[at : at + 800])
                time.sleep(0.08)
            socket.send_close_stream()
            listener.join(10)
            self.assertFalse(listener.is_alive())
        self.assertEqual(messages[0].type, "Connected")
        turns = [message for message in messages if message.type == "TurnInfo"]
        self.assertEqual(turns[0].event, "StartOfTurn")
        self.assertEqual([turn.event for turn in turns][-2:], ["EagerEndOfTurn", "EndOfTurn"])
        self.assertEqual(plain(turns[-1].transcript), plain(LINE))
        self.assertEqual([message.sequence_id for message in messages], list(range(len(messages))))

    def test_aura_speaks_and_says_when_it_has_finished(self):
        environment = DeepgramClientEnvironment(base=HTTP, production=WS, agent=WS, agent_rest=HTTP)
        client = DeepgramClient(api_key="key", environment=environment)
        audio, kinds = b"", []
        with client.speak.v1.connect(model="aura-2-thalia-en", encoding="mulaw", sample_rate=8000) as socket:
            socket.send_text(SpeakV1Text(text="Hello, this is Asha."))
            socket.send_flush()
            while "Flushed" not in kinds:
                message = socket.recv()
                if isinstance(message, bytes):
                    audio += message
                else:
                    kinds.append(message.type)
        self.assertEqual(kinds, ["Metadata", "Flushed"])
        self.assertTrue(0.5 < len(audio) / 8000 < 5)


class Realtime(unittest.TestCase):
    SESSION = {
        "type": "realtime",
        "instructions": "You are Meera, an AI assistant of Lake View Homes.",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {
                    "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
                    "create_response": True, "interrupt_response": False,
                },
                "transcription": {"model": "gpt-transcribe", "language": "en"},
                "noise_reduction": None,
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
        "tools": [
            {"type": "function", "name": name, "description": name, "parameters": {"type": "object", "properties": properties}}
            for name, properties in {
                "mark_do_not_call": {"note": {"type": "string"}}, "end_call": {"reason": {"type": "string"}}
            }.items()
        ],
        "tool_choice": "auto",
        "max_output_tokens": 4096,
    }

    def connect(self, key="key"):
        return OpenAI(api_key=key, base_url=f"{HTTP}/v1", max_retries=0).realtime.connect(model="gpt-realtime-2.1")

    def until(self, socket, kind, seen=None):
        """Reads until an event of this kind, and gives it; all on the way go into `seen`."""
        while True:
            event = socket.recv()
            if seen is not None:
                seen.append(event)
            if event.type == "error":
                self.fail(event.error.message)
            if event.type == kind:
                return event

    def say(self, socket, line):
        audio = b"\xff" * 2400 + speech(line, "ulaw_8000") + b"\xff" * 6400
        for at in range(0, len(audio), 800):
            socket.input_audio_buffer.append(audio=base64.b64encode(audio[at : at + 800]).decode())

    def test_a_turn_is_heard_written_down_and_answered_in_sound(self):
        with self.connect() as socket:
            self.assertEqual(socket.recv().type, "session.created")
            socket.session.update(session=self.SESSION)
            self.until(socket, "session.updated")
            self.say(socket, "Who is this?")
            seen = []
            done = self.until(socket, "response.done", seen)
            kinds = [event.type for event in seen]
            for kind in ["speech_started", "speech_stopped", "committed"]:
                self.assertIn(f"input_audio_buffer.{kind}", kinds)
            audio = b"".join(base64.b64decode(e.delta) for e in seen if e.type == "response.output_audio.delta")
            said = "".join(e.delta for e in seen if e.type == "response.output_audio_transcript.delta")
            self.assertIn("Meera", said)
            self.assertGreater(len(audio), 8000)
            self.assertEqual(done.response.status, "completed")
            self.assertEqual(done.response.output[0].content[0].transcript.split(), said.split())
            self.assertGreater(done.response.usage.output_token_details.audio_tokens, 10)
            self.assertGreater(done.response.usage.input_token_details.audio_tokens, 0)
            kind = "conversation.item.input_audio_transcription.completed"
            heard = [event for event in seen if event.type == kind] or [self.until(socket, kind)]
            self.assertEqual(plain(heard[0].transcript), plain("Who is this?"))

            # Only half of it was heard.
            item = done.response.output[0].id
            socket.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=500)
            self.assertEqual(self.until(socket, "conversation.item.truncated").audio_end_ms, 500)
            socket.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=600_000)
            while (refused := socket.recv()).type != "error":
                pass
            self.assertIn("already shorter", refused.error.message)

    def test_history_exact_words_and_cancelling(self):
        with self.connect() as socket:
            socket.session.update(session=self.SESSION)
            for role, kind in [("user", "input_text"), ("assistant", "output_text"), ("system", "input_text")]:
                item = {"type": "message", "role": role, "content": [{"type": kind, "text": "Hello."}]}
                socket.conversation.item.create(item=item)
                self.assertEqual(self.until(socket, "conversation.item.done").item.role, role)
            words = "Hello, I am Meera, an AI assistant."
            socket.response.create(
                response={
                    "instructions": f"Say exactly the following words and nothing else:\n{words}",
                    "tool_choice": "none",
                    "metadata": {"epoch": "7"},
                }
            )
            self.assertEqual(self.until(socket, "response.created").response.metadata, {"epoch": "7"})
            self.assertEqual(self.until(socket, "response.output_audio_transcript.done").transcript, words)
            self.until(socket, "response.done")
            socket.response.create()
            created = self.until(socket, "response.created")
            socket.response.cancel(response_id=created.response.id)
            done = self.until(socket, "response.done").response
            self.assertEqual((done.status, done.status_details.reason), ("cancelled", "client_cancelled"))

    def test_functions_are_called_and_answered(self):
        with self.connect() as socket:
            socket.session.update(session=self.SESSION)
            self.say(socket, "Do not call me again.")
            called = []
            for _ in range(4):
                seen = []
                self.until(socket, "response.done", seen)
                calls = [e for e in seen if e.type == "response.function_call_arguments.done"]
                if not calls:
                    break
                for call in calls:
                    called.append(call.name)
                    json.loads(call.arguments)
                    output = {"type": "function_call_output", "call_id": call.call_id, "output": "noted"}
                    socket.conversation.item.create(item=output)
                socket.response.create()
            self.assertEqual(called[0], "mark_do_not_call")

    def test_errors_are_the_ones_the_sdk_knows(self):
        with self.assertRaises(InvalidStatus) as refused:
            self.connect("bad-key").enter()
        self.assertEqual(refused.exception.response.status_code, 401)
        with self.connect() as socket:
            socket.recv()
            socket.session.update(session={"type": "realtime", "audio": {"output": {"voice": "nobody"}}})
            error = socket.recv()
            self.assertEqual((error.type, error.error.code, error.error.param), ("error", "invalid_value", "session.audio.output.voice"))


class LiveTranscription(unittest.TestCase):
    def test_a_spoken_line_is_written_down(self):
        client = OpenAI(api_key="key", base_url=f"{HTTP}/v1", max_retries=0)
        session = {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "transcription": {"model": "gpt-live-transcribe", "language": "en"},
                    "turn_detection": {
                        "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
                    },
                    "noise_reduction": None,
                }
            },
        }
        audio = speech(LINE, "ulaw_8000") + b"\xff" * (8 * 900)
        deltas, kinds = [], []
        with client.realtime.connect(extra_query={"intent": "transcription"}) as socket:
            socket.session.update(session=session)
            for at in range(0, len(audio), 800):
                socket.input_audio_buffer.append(audio=base64.b64encode(audio[at : at + 800]).decode())
            while True:
                event = socket.recv()
                self.assertNotEqual(event.type, "error", event)
                kinds.append(event.type)
                if event.type.endswith("transcription.delta"):
                    deltas.append(event.delta)
                if event.type.endswith("transcription.completed"):
                    break
        self.assertEqual(plain(event.transcript), plain(LINE))
        self.assertEqual("".join(deltas), event.transcript)
        self.assertIn("input_audio_buffer.committed", kinds)


class FileTranscription(unittest.TestCase):
    def test_a_file_of_speech_is_written_down(self):
        client = OpenAI(api_key="key", base_url=f"{HTTP}/v1", max_retries=0)
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
            wav.writeframes(speech(LINE))
        heard = client.audio.transcriptions.create(model="gpt-transcribe", language="en", file=("line.wav", file.getvalue()))
        self.assertEqual(plain(heard.text), plain(LINE))
        with self.assertRaises(BadRequestError):
            client.audio.transcriptions.create(model="gpt-transcribe", file=("line.wav", b"no sound"))


class Messages(unittest.TestCase):
    ASK = {"model": "claude-haiku-5-5", "max_tokens": 300}

    def setUp(self):
        self.client = anthropic.Anthropic(api_key="key", base_url=HTTP, max_retries=0)

    def test_a_stream_gives_text_and_usage(self):
        system = "You are Meera, an AI assistant of Lake View Homes."
        messages = [{"role": "user", "content": "Who is this?"}]
        with self.client.messages.stream(**self.ASK, system=system, messages=messages) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertIn("Meera", text)
        self.assertEqual(final.stop_reason, "end_turn")
        self.assertGreater(final.usage.output_tokens, 3)

    def test_tools_are_called_in_fragments_and_answered(self):
        tools = [
            {
                "name": name,
                "description": name,
                "input_schema": {"type": "object", "properties": properties, "required": list(properties)},
            }
            for name, properties in {
                "mark_do_not_call": {"note": {"type": ["string", "null"]}},
                "end_call": {"reason": {"type": "string"}},
            }.items()
        ]
        messages = [{"role": "user", "content": "Do not call me again."}]
        called, said = [], []
        for _ in range(4):
            with self.client.messages.stream(**self.ASK, tools=tools, messages=messages) as stream:
                message = stream.get_final_message()
            messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]})
            said += [block.text for block in message.content if block.type == "text"]
            uses = [block for block in message.content if block.type == "tool_use"]
            if not uses:
                break
            called += [use.name for use in uses]
            results = [{"type": "tool_result", "tool_use_id": use.id, "content": "ok"} for use in uses]
            messages.append({"role": "user", "content": results})
        self.assertEqual(called[0], "mark_do_not_call")
        self.assertIn("not call you again", " ".join(said))

    def test_errors_are_the_ones_the_sdk_knows(self):
        ask = {**self.ASK, "messages": [{"role": "user", "content": "hi"}]}
        with self.assertRaises(anthropic.AuthenticationError):
            self.client.with_options(api_key="bad-key").messages.create(**ask)
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.create(**{**ask, "model": "gpt-6-luna"})
        arm("anthropic.refuse", {"status": 429, "retry_after": 1})
        with self.assertRaises(anthropic.RateLimitError) as limited:
            self.client.messages.create(**ask)
        self.assertEqual(limited.exception.response.headers["retry-after"], "1")

    def test_bedrock_speaks_the_same_wire_with_its_own_key(self):
        client = anthropic.AnthropicBedrockMantle(
            api_key="bedrock-key", aws_region="ap-south-1", base_url=f"{HTTP}/anthropic", max_retries=0
        )
        answer = client.messages.create(
            model="anthropic.claude-haiku-5-5", max_tokens=300, messages=[{"role": "user", "content": "Who is this?"}]
        )
        self.assertEqual((answer.stop_reason, answer.content[0].type), ("end_turn", "text"))


class Sarvam(unittest.TestCase):
    def client(self, key="key"):
        environment = SarvamAIEnvironment(base=HTTP, creative=f"{HTTP}/dubbing", production=WS)
        return SarvamAI(api_subscription_key=key, environment=environment)

    def speak(self, text):
        audio = b""
        with self.client().text_to_speech_streaming.connect(model="bulbul:v3", send_completion_event="true") as socket:
            socket.configure(target_language_code="hi-IN", speaker="shubh", speech_sample_rate=8000, output_audio_codec="mulaw")
            socket.convert(text)
            socket.flush()
            while True:
                message = socket.recv()
                if message.type == "event":
                    self.assertEqual(message.data.event_type, "final")
                    return audio
                audio += base64.b64decode(message.data.audio)

    def test_what_the_socket_says_the_other_socket_hears(self):
        audio = self.speak(LINE) + b"\xff" * (8 * 600)
        finals, names = [], []
        with self.client().speech_to_text_realtime_streaming.connect(
            language_code="en-IN", encoding="mulaw", sample_rate="8000", endpointing="vad"
        ) as socket:
            for at in range(0, len(audio), 800):
                encoded = base64.b64encode(audio[at : at + 800]).decode()
                socket.send_realtime_audio_input(RealtimeAudioInput(audio=encoded))
            socket.send_realtime_end(RealtimeEnd())
            while "session.end" not in names:
                message = socket.recv()
                names.append(message.event)
                if message.event == "transcript.final":
                    finals.append(message.text)
        self.assertEqual(plain(" ".join(finals)), plain(LINE))
        self.assertEqual(names[:2], ["session.begin", "vad.speech_start"])

    def test_rest_speech_and_chat_work_too(self):
        spoken = self.client().text_to_speech.convert(
            text="Hello", language_code="en-IN", speaker="shubh", speech_sample_rate=8000, output_audio_codec="mulaw"
        )
        self.assertGreater(len(base64.b64decode(spoken.audios[0])), 1000)
        answer = self.client().chat.completions(model="sarvam-105b", messages=[{"role": "user", "content": "Who is this?"}])
        self.assertTrue(answer.choices[0].message.content)
        with self.assertRaises(Exception) as refused:
            self.client("bad-key").text_to_speech.convert(text="Hello", language_code="en-IN")
        self.assertEqual(refused.exception.status_code, 403)


if __name__ == "__main__":
    unittest.main()
