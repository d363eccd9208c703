"""Pages in a headless Chromium, driven over a pipe: no port is opened, and no name of a host can be resolved.

    browser.py look CHROMIUM PAGE.html...            what the browser says of each page, as a line of JSON
    browser.py picture CHROMIUM PAGE.html PICTURE.png WIDTH HEIGHT light|dark
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

# Colours behind letters, letters behind colours: everything is computed in the page, from what the browser has laid out.
LOOK = r"""(() => {
  const found = { overflow: document.documentElement.scrollWidth - window.innerWidth, charts: [], contrast: [], small: [] };
  const parse = text => { const n = (text.match(/[\d.]+/g) || []).map(Number); return n.length < 3 ? null : { r: n[0], g: n[1], b: n[2], a: n.length > 3 ? n[3] : 1 }; };
  const over = (top, below) => { const mix = (x, y) => x * top.a + y * (1 - top.a); return { r: mix(top.r, below.r), g: mix(top.g, below.g), b: mix(top.b, below.b), a: 1 }; };
  const light = c => { const f = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(c.r) + 0.7152 * f(c.g) + 0.0722 * f(c.b); };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const behind = element => { let at = { r: 255, g: 255, b: 255, a: 1 }; const above = []; for (let e = element; e; e = e.parentElement) above.unshift(e);
    for (const e of above) { const c = parse(getComputedStyle(e).backgroundColor); if (c) at = over(c, at); } return at; };
  const seen = element => { const box = element.getBoundingClientRect(); return box.width > 1.5 && box.height > 1.5 && element.checkVisibility(); };
  for (const chart of document.querySelectorAll('[role=img]')) {
    const box = chart.getBoundingClientRect();
    if (!chart.checkVisibility()) continue;
    found.charts.push({ name: chart.getAttribute('aria-label') || '', width: box.width, height: box.height, drawn: chart.querySelectorAll('path, line, rect').length });
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !seen(element) || element.closest('thead') && !seen(element.closest('thead')) || element.tagName === 'title') continue;
    const style = getComputedStyle(element);
    const inside = element.closest('svg');
    const own = parse(inside ? style.fill : style.color);
    // Letters on a chart's own colour.
    const below = element.classList.contains('on') ? parse(getComputedStyle(element.closest('svg').querySelector('rect.share')).fill) : behind(element);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const needed = size >= 24 || bold && size >= 18.66 ? 3 : 4.5;
    const is = ratio(over(own, below), below);
    if (is < needed) found.contrast.push({ text: node.data.trim().slice(0, 40), ratio: is, needed });
    if (size < 10.5) found.small.push({ text: node.data.trim().slice(0, 40), size });
  }
  for (const curve of document.querySelectorAll('path.new, path.old, path.worse, path.fine, rect.share, .glyph circle')) {
    const style = getComputedStyle(curve);
    const own = parse(style.stroke) || parse(style.fill);
    const is = own && ratio(over(own, behind(curve)), behind(curve));
    if (curve.checkVisibility() && own && is < 3) found.contrast.push({ text: curve.getAttribute('class'), ratio: is, needed: 3 });
  }
  return found;
})()"""

FOCUSED = "(e => e.tagName.toLowerCase() + ': ' + (e.innerText || e.getAttribute('aria-label') || '').slice(0, 40))(document.activeElement)"
FOCUSABLE = "[...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility()).length"
ON_PAPER = """[...document.querySelectorAll('details')].every(e =>
    !e.open && e.lastElementChild.checkVisibility({ contentVisibilityAuto: true })
    && e.getBoundingClientRect().height > 20 + e.querySelector('summary').getBoundingClientRect().height)"""
PRINTED = "({ page: getComputedStyle(document.documentElement).backgroundColor, ink: getComputedStyle(document.documentElement).color })"


class Browser:
    def __init__(self, chromium):
        self.profile = tempfile.TemporaryDirectory(prefix="coalmine-browser-", ignore_cleanup_errors=True)
        to_browser, self.requests = os.pipe()
        self.answers, from_browser = os.pipe()
        # The browser takes its pipe as these two.
        start = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync",
                   "--host-resolver-rules=MAP * ~NOTFOUND", "--force-color-profile=srgb", f"--user-data-dir={self.profile.name}",
                   "--remote-debugging-pipe"]
        command = ["bash", "-c", start, "browser", chromium, *options]
        self.process = subprocess.Popen(command, pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.buffer:
            read = os.read(self.answers, 1 << 20)
            if not read:
                sys.exit("the browser has ended; does it start by itself?")
            self.buffer += read
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.requests, json.dumps(request).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    sys.exit(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            sys.exit(f"{result['exceptionDetails']}")
        return result["result"].get("value")

    def appear(self, width, height, scheme, medium=""):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media=medium, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, page):
        self.events = []
        self.call("Page.navigate", url=pathlib.Path(page).resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())

    def press(self, key, code):
        for kind in ["keyDown", "keyUp"]:
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def end(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (SystemExit, OSError):
            pass
        self.process.wait(20)


def look(browser, page):
    told = {"page": page, "views": {}}
    browser.appear(1100, 900, "light")
    browser.open(page)
    for scheme in ["light", "dark"]:
        for width in [1100, 360]:
            browser.appear(width, 900, scheme)
            told["views"][f"{scheme} {width}"] = browser.evaluate(LOOK)
    browser.appear(1100, 900, "light", "print")
    # It is laid out in frames of its own time.
    until = time.monotonic() + 5
    while not browser.evaluate(ON_PAPER) and time.monotonic() < until:
        time.sleep(0.1)
    told["on_paper"] = browser.evaluate(ON_PAPER)
    browser.appear(1100, 900, "light")
    focused = []
    for _ in range(200):
        browser.press("Tab", 9)
        if browser.evaluate("document.activeElement === document.body"):
            break
        focused.append(browser.evaluate(FOCUSED))
        if focused[-1].startswith("summary") and not browser.evaluate("document.activeElement.parentElement.open"):
            browser.press("Enter", 13)
    told["focused"] = focused
    told["focusable"] = browser.evaluate(FOCUSABLE)
    told["opened"] = browser.evaluate("[...document.querySelectorAll('details')].every(e => e.open)")
    told["opened_views"] = {str(width): (browser.appear(width, 900, "dark"), browser.evaluate(LOOK))[1] for width in [1100, 360]}
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {}
    for node in nodes:
        role = node.get("role", {}).get("value", "")
        if not node.get("ignored") and role in ("image", "img", "table", "heading", "columnheader", "rowheader", "main", "link"):
            roles.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    told["roles"] = roles
    browser.appear(1100, 900, "dark", "print")
    told["printed"] = browser.evaluate(PRINTED)
    pdf = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    told["sheets"] = pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/")
    told["pdf"] = len(pdf)
    of = lambda method: [event["params"] for event in browser.events if event.get("method") == method]
    told["requests"] = [event["request"]["url"] for event in of("Network.requestWillBeSent")]
    told["said"] = [json.dumps(event)[:500] for method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") for event in of(method)]
    return told


def main():
    what, chromium, *rest = sys.argv[1:]
    browser = Browser(chromium)
    try:
        if what == "look":
            for page in rest:
                print(json.dumps(look(browser, page)), flush=True)
        else:
            page, picture, width, height, scheme = rest
            browser.appear(int(width), int(height), scheme)
            browser.open(page)
            shot = browser.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)
            pathlib.Path(picture).write_bytes(base64.b64decode(shot["data"]))
    finally:
        browser.end()


main()
