package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshots is where the tests leave pictures of what they saw; git ignores it.
const screenshots = "../dist/screenshots"

// browser is a tab of a headless Chromium, and what happened in it.
type browser struct {
	t      *testing.T
	tab    context.Context
	origin string

	mu       sync.Mutex
	problems []string // console errors, exceptions, requests to anywhere but the function app, answers that are none
	requests []string // method and path
	expected []string // parts of problems that are meant to happen
}

// chromiumNames are what the program is called on the systems that this is tried on.
var chromiumNames = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

func chromium() (string, error) {
	for _, name := range chromiumNames {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium found, which the tests of the page need: install Debian's package with `apt-get install chromium`, or put chromium or google-chrome on the PATH")
}

// openBrowser starts a Chromium that shows nothing, with a profile of its own.
func openBrowser(t *testing.T, origin string) *browser {
	t.Helper()
	path, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(time.Minute))
	allocated, freeAll := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...) // a test's context ends before its clean-up
	tab, closeTab := chromedp.NewContext(allocated)
	b := &browser{t: t, tab: tab, origin: origin}
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil { // waits until it has ended: its profile is removed after this
			t.Errorf("close the browser: %v", err)
		}
		closeTab()
		freeAll()
	})
	if err := chromedp.Listen(tab, b.saw); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	called(b, network.Enable, network.EnableParams{})
	called(b, log.Enable, cdp.Empty{})
	called(b, runtime.Enable, cdp.Empty{})
	return b
}

// called sends a command of the browser's protocol.
func called[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	reply, err := chromedp.Call(b.tab, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply
}

// saw notes what happens in the tab.
func (b *browser) saw(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			text := "console:"
			for _, a := range e.Args {
				text += " " + a.Description + string(a.Value)
			}
			b.problems = append(b.problems, text)
		}
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.problems = append(b.problems, fmt.Sprintf("log: %s %s", e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Scheme+"://"+u.Host != b.origin {
			b.problems = append(b.problems, "request to "+e.Request.URL)
			return
		}
		if u.Scheme != "data" {
			b.requests = append(b.requests, e.Request.Method+" "+u.RequestURI())
		}
	}
}

// expect says that a problem with that text is meant to happen.
func (b *browser) expect(part string) { b.expected = append(b.expected, part) }

// wantNoProblem fails the test for everything that went wrong in the tab.
func (b *browser) wantNoProblem() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		meant := false
		for _, part := range b.expected {
			meant = meant || strings.Contains(p, part)
		}
		if !meant {
			b.t.Error(p)
		}
	}
	if len(b.requests) == 0 {
		b.t.Error("the browser asked for nothing")
	}
}

// actionTime bounds one step of a test in the tab.
const actionTime = 30 * time.Second

// do runs actions in the tab, one after the other.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, actionTime)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.failed(what, err)
	}
}

func (b *browser) failed(what string, err error) {
	b.t.Helper()
	b.shoot(strings.ReplaceAll(b.t.Name(), "/", "-") + "-failed")
	b.wantNoProblem()
	b.t.Fatalf("%s: %v", what, err)
}

// eval evaluates an expression in the page; a promise is waited for.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, actionTime)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.failed(fmt.Sprintf("evaluate %.200s", expression), err)
	}
	return value
}

// text is the text of the first element that selector finds.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// waitFor waits until an expression is true of the page: it is evaluated whenever the page changes.
func (b *browser) waitFor(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, actionTime)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise((done) => {
		const look = () => { if (`+expression+`) { changes.disconnect(); done(true); } };
		const changes = new MutationObserver(look);
		changes.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
		look();
	})`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.failed(what, err)
	}
}

// shoot takes a picture of the whole page in that name.
func (b *browser) shoot(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, actionTime)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Errorf("screenshot %s: %v", name, err)
		return
	}
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(screenshots, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// look shows the page as a visitor with that screen sees it.
func (b *browser) look(width int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do("another screen", chromedp.EmulateViewport(width, 900))
	called(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// screens are those on which the page is looked at. Light and dark are asked for their contrasts; a phone shows the same otherwise, and so does the
// narrowest screen that pages are held to.
var screens = []struct {
	name  string
	width int64
	dark  bool
	axe   bool
}{{"", 1280, false, true}, {"-dark", 1280, true, true}, {"-phone", 390, false, false}, {"-small", 320, true, false}}

// wantAccessible asks axe whether everybody can read and operate the page, and leaves pictures of it.
func (b *browser) wantAccessible(name string) {
	b.t.Helper()
	for _, screen := range screens {
		b.look(screen.width, screen.dark)
		if screen.axe {
			b.askAxe(name + screen.name)
		}
		if eval[bool](b, "document.documentElement.scrollWidth > document.documentElement.clientWidth") {
			b.t.Errorf("%s%s: the page is wider than the screen", name, screen.name)
		}
		for _, spill := range eval[[]string](b, spilling) {
			b.t.Errorf("%s%s: %s", name, screen.name, spill)
		}
		b.shoot(name + screen.name)
	}
	b.look(1280, false)
}

// spilling lists the texts that reach beyond the room within the box that they are in.
const spilling = `[...document.querySelectorAll('main .card, main .hero, main .figure, main .waits li')].flatMap((box) => {
	const room = box.getBoundingClientRect().right - parseFloat(getComputedStyle(box).paddingRight) + 1;
	return [...box.querySelectorAll('h1, h2, h3, p, time, data, span, li, td, th, code, button')].filter((part) => part.getBoundingClientRect().right > room && !part.closest('.unseen')).
		map((part) => 'the text is wider than its box: ' + part.textContent.trim().slice(0, 80));
})`

// askAxe fails the test for what axe finds.
func (b *browser) askAxe(name string) {
	b.t.Helper()
	if !eval[bool](b, "typeof axe !== 'undefined'") {
		axe, err := os.ReadFile("../sandbox/node_modules/axe-core/axe.min.js")
		if err != nil {
			b.t.Fatalf("%v: run npm ci --prefix sandbox", err)
		}
		eval[chromedp.Void](b, string(axe)+"; undefined")
	}
	raw := eval[string](b, `axe.run(document).then((r) => JSON.stringify({passes: r.passes.length, violations: r.violations.map((v) => ({id: v.id, help: v.help,
		nodes: v.nodes.map((n) => n.html.slice(0, 200) + " " + (n.failureSummary || ""))}))}))`)
	var result struct {
		Passes     int
		Violations []struct {
			ID, Help string
			Nodes    []string
		}
	}
	if err := json.Unmarshal([]byte(raw), &result); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range result.Violations {
		b.t.Errorf("axe, %s: %s: %s\n%s", name, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
	}
	if result.Passes < 10 {
		b.t.Errorf("axe, %s: only %d of its rules had anything to look at", name, result.Passes)
	}
}
