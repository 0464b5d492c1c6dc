"""Chats with `bantam run` on a pseudo-terminal, for terminal.rs. Arguments: the command and the model. Prints `ok` at the end.

Standard output is a pipe, so that what is in it must be answers alone; the prompt and what is typed are on the terminal.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

COMMAND, MODEL = sys.argv[1:3]

# The prompt with nothing behind it, which is last on the terminal while a line is awaited: what is typed earlier may reach a
# terminal that does not edit yet, and Ctrl-D means something else there. An editor shows the prompt again for every key.
PROMPT = re.compile(rb"> \r\x1b\[2C(\x1b\[\?2026l)?$")
PLAIN_PROMPT = re.compile(rb"> $")


class Chat:
    def __init__(self, *options, **environment):
        self.terminal, theirs = pty.openpty()
        reader, writer = os.pipe()
        self.answers, self.seen, self.stdout = reader, b"", b""
        self.prompt = PLAIN_PROMPT if environment.get("TERM") == "dumb" else PROMPT
        self.process = subprocess.Popen(
            [COMMAND, "run", MODEL, "--temp", "0", *options],
            stdin=theirs, stdout=writer, stderr=theirs, start_new_session=True,
            env={**os.environ, **environment},
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )
        os.close(theirs)
        os.close(writer)

    def read(self, seconds):
        ready, _, _ = select.select([self.terminal, self.answers], [], [], seconds)
        for source in ready:
            try:
                got = os.read(source, 65536)
            except OSError:
                got = b""
            if source == self.terminal:
                self.seen += got
            else:
                self.stdout += got

    def wait_for(self, condition, what):
        end = time.monotonic() + 120
        while not condition(self):
            assert time.monotonic() < end, f"no {what}; terminal: {self.seen!r}; stdout: {self.stdout!r}"
            self.read(0.1)

    def wait_for_prompt(self):
        self.wait_for(lambda chat: chat.prompt.search(chat.seen), "prompt")
        self.seen = b""

    def type(self, text):
        os.write(self.terminal, text)

    def leave(self, code):
        self.wait_for(lambda chat: chat.process.poll() is not None, "end")
        assert self.process.returncode == code, (self.process.returncode, self.seen)


def main():
    # A conversation: the second turn reads only what is new, and standard output has the answers alone.
    chat = Chat("-n", "3", "-v", "--ctx", "256", "--system", "Be brief.")
    chat.wait_for_prompt()
    chat.type(b"Hello!\r")
    chat.wait_for(lambda chat: b"answer: 3 tokens" in chat.seen, "first answer")
    first = chat.stdout
    assert first.endswith(b"\n") and first.count(b"\n") == 1, first
    chat.wait_for_prompt()
    chat.type(b"And?\r")
    chat.wait_for(lambda chat: b"answer: " in chat.seen, "second answer")
    read = int(chat.seen.split(b"prompt: ")[1].split()[0])
    assert read < 16, chat.seen
    chat.wait_for_prompt()
    chat.type(b"/nonsense\r")
    chat.wait_for(lambda chat: b"no command /nonsense" in chat.seen, "complaint")
    chat.wait_for_prompt()
    # A turn that does not fit is told, and the chat goes on; cleared, it begins as at first.
    chat.type(b"word " * 300 + b"\r")
    chat.wait_for(lambda chat: b"the context holds 256" in chat.seen, "refusal")
    chat.wait_for(lambda chat: chat.prompt.search(chat.seen), "prompt")
    # Nothing that could be forgotten would make room for it.
    assert b"/clear" not in chat.seen, chat.seen
    chat.wait_for_prompt()
    chat.type(b"/clear\r")
    chat.wait_for(lambda chat: b"starts over" in chat.seen, "new start")
    chat.wait_for_prompt()
    before = len(chat.stdout)
    chat.type(b"Hello!\r")
    chat.wait_for(lambda chat: b"answer: " in chat.seen, "answer after /clear")
    assert chat.stdout[before:] == first, chat.stdout
    chat.wait_for_prompt()
    chat.type(b"\x04")
    chat.leave(0)

    # What was said can be taken back, saved and loaded; the same question gets the same answer.
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "my chat.json").encode()
        chat = Chat("-n", "3", "-v", "--ctx", "256")

        def command(line, answer):
            chat.type(line + b"\r")
            chat.wait_for(lambda chat: answer in chat.seen, answer)
            chat.wait_for_prompt()

        def ask(question):
            before = len(chat.stdout)
            command(question, b"answer: ")
            return chat.stdout[before:]

        chat.wait_for_prompt()
        command(b"/undo", b"nothing to take back")
        command(b"/undo 3", b"takes nothing behind it")
        command(b"caf\xe9", b"not UTF-8")
        command(b"/system Be brief.", b"this system text")
        command(b"/system", b"Be brief.")
        assert ask(b"Hello!") == first
        second = ask(b"And?")
        command(b"/undo", b"Taken back: And?")
        assert ask(b"And?") == second
        command(b"/save " + file, b"Saved to")
        command(b"/stats", b"2 turns")
        command(b"/clear", b"starts over")
        command(b"/load " + file, b"goes on after 2 turns.")
        command(b"/undo", b"Taken back: And?")
        assert ask(b"And?") == second
        command(b"/load " + file + b".session", b"cannot load")
        # Saved again it replaces what it was, and nothing that is something else.
        command(b"/save " + file, b"Saved to")
        diary = os.path.join(folder, "diary").encode()
        with open(diary, "wb") as other:
            other.write(b"Dear diary")
        command(b"/save " + diary, b"is no saved chat")
        with open(diary, "rb") as other:
            assert other.read() == b"Dear diary"
        assert not os.path.exists(diary + b".session")
        os.remove(file + b".session")
        command(b"/load " + file, b"which will be read again")
        command(b"/load", b"name a file")
        chat.type(b"/exit\r")
        chat.leave(0)

    # A chat that outgrows its context goes on without its oldest turns.
    chat = Chat("-n", "24", "-v", "--ctx", "256", "--system", "Be brief.")
    chat.wait_for_prompt()
    for turn in range(12):
        chat.type(b"Tell me more about the number %d.\r" % turn)
        chat.wait_for(lambda chat: b"answer: " in chat.seen, "answer")
        left_out = b"left out" in chat.seen
        if left_out:
            break
        chat.wait_for_prompt()
    assert left_out, chat.seen
    assert re.search(rb"the first (turn of the conversation is|\d+ turns of the conversation are) left out", chat.seen), chat.seen
    chat.wait_for_prompt()
    chat.type(b"\x04")
    chat.leave(0)

    # Where an answer fills the context, forgetting helps only if there is something to forget.
    for before in [], [b"Hello!"]:
        chat = Chat("-v", "--ctx", "128", "--system", "Be brief.")
        for question in before + [b"Count from 1 to 1000 in steps of 1, and write every number down."]:
            chat.wait_for_prompt()
            chat.type(question + b"\r")
            chat.wait_for(lambda chat: b"answer: " in chat.seen, "answer")
        chat.wait_for(lambda chat: b"context of 128 tokens is full" in chat.seen, "note")
        chat.wait_for(lambda chat: chat.prompt.search(chat.seen), "prompt")
        assert (b"/clear" in chat.seen) == bool(before), chat.seen
        chat.type(b"\x04")
        chat.leave(0)

    # Ctrl-C stops an answer, whose beginning counts whatever is kept of it, and twice at the prompt it leaves.
    with tempfile.TemporaryDirectory() as folder:
        for options in [], ["--prompt-cache", os.path.join(folder, "cache"), "--prompt-cache-all"]:
            chat = Chat("--ctx", "2048", *options)
            chat.wait_for_prompt()
            chat.type(b"Count from 1 to 1000 in steps of 1, and write every number down.\r")
            chat.wait_for(lambda chat: len(chat.stdout) > 20, "answer")
            chat.type(b"\x03")
            chat.wait_for(lambda chat: b"Stopped." in chat.seen, "stop")
            chat.wait_for_prompt()
            chat.type(b"\x03")
            chat.wait_for(lambda chat: b"again leaves" in chat.seen, "warning")
            chat.wait_for_prompt()
            chat.type(b"\x03")
            chat.leave(130)

    # A terminal that cannot edit lines: standard output has the answers alone there too.
    chat = Chat("-n", "3", "--ctx", "256", "--system", "Be brief.", TERM="dumb")
    chat.wait_for_prompt()
    chat.type(b"Hello!\r")
    chat.wait_for_prompt()
    chat.type(b"\x04")
    chat.leave(0)
    chat.read(0)
    assert chat.stdout == first, chat.stdout

    # Not in a chat, Ctrl-C ends the command.
    chat = Chat("--raw", "--ctx", "2048", "-p", "1, 2, 3, 4,")
    chat.wait_for(lambda chat: len(chat.stdout) > 10, "continuation")
    chat.process.send_signal(signal.SIGINT)
    chat.leave(130)
    print("ok")


main()
