"""Twilio's official SDK against a sandbox at $SANDBOX_ADDR: its client, its TwiML, and its check of signatures."""

import json
import os
import threading
import time
import unittest
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Gather, VoiceResponse

HTTP = f"http://{os.environ['SANDBOX_ADDR']}"
ACCOUNT, TOKEN = "AC0123456789abcdef0123456789abcdef", "sandbox-twilio-token"
OURS, CALLEE = "+14155550100", "+919999955601"


class Webhooks:
    """A product that answers every question with `answer(path, fields)`, and remembers what it was told and by whom."""

    def __init__(self, answer):
        told = self.told = []
        validator = RequestValidator(TOKEN)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                fields = dict(parse_qsl(body, keep_blank_values=True))
                url = f"http://{self.headers['host']}{self.path}"
                genuine = validator.validate(url, fields, self.headers["x-twilio-signature"])
                told.append((self.path, fields, genuine))
                document = str(answer(self.path, fields)).encode()
                self.send_response(200)
                self.send_header("content-type", "text/xml")
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, path):
        return [fields for told, fields, _ in self.told if told.startswith(path)]


def script(*steps):
    body = json.dumps({"name": "sdk", "attempts": [[{"do": "ring", "ms": 200}, *steps]]}).encode()
    request = urllib.request.Request(
        f"{HTTP}/__sandbox/scripts/{CALLEE}", data=body, headers={"content-type": "application/json"}, method="PUT"
    )
    urllib.request.urlopen(request).close()


def eventually(look, seconds=30):
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError("not in time")
        time.sleep(0.1)


class Calls(unittest.TestCase):
    def setUp(self):
        self.client = Client(ACCOUNT, TOKEN)
        self.client.api.base_url = HTTP

    def place(self, webhooks, **more):
        self.addCleanup(webhooks.server.shutdown)
        return self.client.calls.create(
            to=CALLEE,
            from_=OURS,
            url=f"{webhooks.base}/voice?call=a1",
            status_callback=f"{webhooks.base}/status?call=a1",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
            **more,
        )

    def test_a_gathered_conversation_is_held_signed_and_recorded(self):
        def answer(path, fields):
            response = VoiceResponse()
            if "SpeechResult" in fields:
                response.say("Thank you & goodbye.")
                response.hangup()
            else:
                gather = Gather(input="speech", action="/voice?turn=2", timeout=8)
                gather.say("Hello, what are you looking for?")
                response.append(gather)
            return response

        webhooks = Webhooks(answer)
        script({"do": "answer"}, {"do": "wait_for_agent"}, {"do": "say", "text": "A flat in Whitefield."}, {"do": "wait_for_agent"})
        call = self.place(
            webhooks,
            record=True,
            recording_status_callback=f"{webhooks.base}/recording",
            machine_detection="Enable",
            async_amd="true",
            async_amd_status_callback=f"{webhooks.base}/amd",
        )
        self.assertEqual((call.direction, call.to), ("outbound-api", CALLEE))
        done = eventually(lambda: [f for f in webhooks.of("/status") if f["CallStatus"] == "completed"])[0]
        self.assertEqual([f["CallStatus"] for f in webhooks.of("/status")], ["initiated", "ringing", "in-progress", "completed"])
        self.assertEqual([f["SequenceNumber"] for f in webhooks.of("/status")], ["0", "1", "2", "3"])
        said = [f["SpeechResult"] for f in webhooks.of("/voice") if "SpeechResult" in f]
        self.assertEqual(said, ["A flat in Whitefield."])
        self.assertEqual(webhooks.of("/amd")[0]["AnsweredBy"], "human")

        fetched = self.client.calls(call.sid).fetch()
        self.assertEqual((fetched.status, fetched.duration), ("completed", done["CallDuration"]))
        self.assertIn(call.sid, [listed.sid for listed in self.client.calls.list(to=CALLEE, limit=20)])
        eventually(lambda: webhooks.of("/recording"))
        recordings = self.client.recordings.list(call_sid=call.sid)
        self.assertEqual([recording.status for recording in recordings], ["completed"])
        self.assertTrue(all(genuine for _, _, genuine in webhooks.told), webhooks.told)

    def test_a_call_is_hung_up_and_then_there_is_nothing_to_hang_up(self):
        def answer(path, fields):
            response = VoiceResponse()
            response.pause(length=30)
            return response

        webhooks = Webhooks(answer)
        script({"do": "answer"}, {"do": "stay_silent", "ms": 60000})
        call = self.place(webhooks)
        eventually(lambda: self.client.calls(call.sid).fetch().status == "in-progress")
        self.client.calls(call.sid).update(status="completed")
        eventually(lambda: self.client.calls(call.sid).fetch().status == "completed")
        with self.assertRaises(TwilioRestException) as refused:
            self.client.calls(call.sid).update(status="completed")
        self.assertEqual(refused.exception.code, 21220)

    def test_lists_go_on_from_page_to_page(self):
        webhooks = Webhooks(lambda path, fields: VoiceResponse())
        script({"do": "busy"})
        placed = {self.place(webhooks).sid for _ in range(3)}
        listed = [call.sid for call in self.client.calls.list(to=CALLEE, page_size=2)]
        self.assertTrue(placed <= set(listed))
        self.assertEqual(len(listed), len(set(listed)))

    def test_errors_are_the_ones_the_sdk_knows(self):
        def code(**request):
            with self.assertRaises(TwilioRestException) as refused:
                self.client.calls.create(**{"to": CALLEE, "from_": OURS, "url": f"{HTTP}/voice", **request})
            return refused.exception.status, refused.exception.code

        self.assertEqual(code(to="123"), (400, 21211))
        self.assertEqual(code(from_="+14155550199"), (400, 21210))
        with self.assertRaises(TwilioRestException) as unknown:
            self.client.calls("CA00000000000000000000000000000000").fetch()
        self.assertEqual((unknown.exception.status, unknown.exception.code), (404, 20404))
        stranger = Client(ACCOUNT, "wrong")
        stranger.api.base_url = HTTP
        with self.assertRaises(TwilioRestException) as refused:
            stranger.calls("CA00000000000000000000000000000000").fetch()
        self.assertEqual((refused.exception.status, refused.exception.code), (401, 20003))


if __name__ == "__main__":
    unittest.main()
