"""A Raspberry Pi 3, emulated: its shell through the serial line; its pins and its clock from outside, by QEMU's monitor."""

import json
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from rootfs import Trouble

# BCM2835 ARM Peripherals, 6.1 and 12.1, at the BCM2837's addresses: function select and level of the GPIO pins, and the
# lower word of the free-running microseconds.
GPFSEL0 = 0x3F200000
GPLEV0 = 0x3F200034
CLO = 0x3F003004
# The Pi's time goes on by 2^2 ns with each instruction: 250 million a second, fewer than a real Pi 3 does at its slowest
# clock of 600 MHz. So what takes long there takes long here, however busy this machine is.
INSTRUCTIONS = "shift=2"


@dataclass(frozen=True)
class Pin:
    """A pin as the hardware has it: driven or not, and the level."""

    driven: bool
    high: bool

    def __str__(self):
        return f"{'driven' if self.driven else 'released'}, {'high' if self.high else 'low'}"


class Pi:
    """The running machine. Commands go to a shell of busybox; use it in a `with`."""

    def __init__(self, kernel, tree, initrd, folder, line):
        self.line = line
        self.commands = 0
        self.text = ""
        self.news = threading.Condition()
        self.log = open(folder / "console.log", "w")
        monitor = folder / "monitor.sock"
        monitor.unlink(missing_ok=True)
        # The firmware's own serial line is the first one; Debian's kernel has its console on the second.
        self.process = subprocess.Popen(
            ["qemu-system-aarch64", "-M", "raspi3b", "-m", "1G", "-kernel", kernel, "-initrd", initrd, "-dtb", tree]
            + ["-display", "none", "-no-reboot", "-serial", "null", "-serial", "stdio"]
            + ["-icount", INSTRUCTIONS, "-qmp", f"unix:{monitor},server=on,wait=off"]
            + ["-append", "console=ttyS1,115200 quiet panic=-1 iomem=relaxed 8250.nr_uarts=2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            self.await_text(r"RIG-UP", 180)
            self.monitor = self.open_monitor(monitor)
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    # ------------------------------------------------------------------------------------------------ the shell

    def listen(self):
        while chunk := self.process.stdout.read1(4096):
            text = chunk.decode(errors="replace").replace("\r", "")
            with self.news:
                self.text += text
                self.log.write(text)
                self.log.flush()
                self.news.notify_all()
        with self.news:
            self.text += "\nRIG-GONE\n"
            self.news.notify_all()

    def await_text(self, pattern, timeout_s):
        """Waits for a line on the console and takes everything up to it."""
        end = time.monotonic() + timeout_s
        with self.news:
            while (found := re.search(pattern, self.text)) is None:
                left = end - time.monotonic()
                if "RIG-GONE" in self.text or left <= 0:
                    why = "the emulator has ended" if left > 0 else f"not within {timeout_s} s"
                    raise Trouble(f"no {pattern} on the Pi's console: {why}; the last of it:\n{self.text[-2000:]}")
                self.news.wait(left)
            before, self.text = self.text[: found.start()], self.text[found.end() :]
            return before, found

    def send(self, command):
        """Starts a command line; `answer` waits for its end."""
        self.commands += 1
        # As the shell prints it, not as it is typed: what is typed is echoed by some terminals.
        self.process.stdin.write(f"{command}\necho RIG-END $? {self.commands}.\n".encode())
        self.process.stdin.flush()

    def answer(self, timeout_s=120):
        """Exit code and output of the command that was sent last."""
        before, found = self.await_text(rf"RIG-END (\d+) {self.commands}\.\n", timeout_s)
        return int(found.group(1)), before.strip()

    def run(self, command, timeout_s=120):
        """Runs a command that must succeed; returns what it printed."""
        self.send(command)
        code, text = self.answer(timeout_s)
        if code != 0:
            raise Trouble(f"on the Pi, `{command}` ended with {code}: {text}")
        return text

    # ------------------------------------------------------------------------------------------------ the pin

    def open_monitor(self, path):
        monitor = socket.socket(socket.AF_UNIX)
        monitor.settimeout(30)
        monitor.connect(str(path))
        self.replies = monitor.makefile("r")
        self.replies.readline()  # its greeting
        self.monitor = monitor
        self.ask({"execute": "qmp_capabilities"})
        return monitor

    def ask(self, request):
        self.monitor.sendall(json.dumps(request).encode() + b"\n")
        while True:
            reply = json.loads(self.replies.readline())
            if "error" in reply:
                raise Trouble(f"QEMU's monitor refused {request}: {reply['error']}")
            if "return" in reply:
                return reply["return"]

    def word(self, address):
        """A 32-bit word of the machine's physical memory."""
        said = self.ask({"execute": "human-monitor-command", "arguments": {"command-line": f"xp /1wx {address:#x}"}})
        return int(said.split(":")[1], 16)

    def pin(self):
        """The line as it is now, from outside."""
        function = self.word(GPFSEL0 + self.line // 10 * 4) >> self.line % 10 * 3 & 0b111
        return Pin(function == 0b001, bool(self.word(GPLEV0) >> self.line & 1))

    def clock_s(self):
        """The Pi's own time; the register begins again after 71 minutes, which no run lasts."""
        return self.word(CLO) / 1e6

    def watch(self, until, timeout_s):
        """Looks at the pin over and over until it `until`s; returns when by the Pi's clock, and the longest time between
        two looks by the same. `timeout_s` is by this machine's clock: the Pi's own could stand still."""
        end = time.monotonic() + timeout_s
        before, coarse = self.clock_s(), 0.0
        while True:
            pin, now = self.pin(), self.clock_s()
            coarse, before = max(coarse, now - before), now
            if until(pin):
                return now, coarse
            if time.monotonic() > end:
                raise Trouble(f"the pin is still {pin} after {timeout_s} s")
