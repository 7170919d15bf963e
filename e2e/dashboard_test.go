package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"fhirmigration/sandbox/fhirservice"
)

// dashboard opens the page as its link does: with the key of that function alone in the address, which is gone from it afterwards.
func (a *app) dashboard() *browser {
	a.t.Helper()
	b := openBrowser(a.t, a.host.URL())
	b.do("open the page", chromedp.Navigate(a.host.URL()+"/api/Dashboard?code="+a.host.KeyOf("Dashboard")))
	b.waitFor("the key leaves the address", "location.search === '' && document.querySelector('h1') !== null")
	return b
}

// refresh lets the page ask again, as it does by itself every few seconds.
func (b *browser) refresh() {
	b.t.Helper()
	eval[chromedp.Void](b, "window.before = document.querySelector('#fresh time').dateTime; document.dispatchEvent(new Event('visibilitychange'))")
	b.waitFor("the page refreshes itself", "document.querySelector('#fresh time').dateTime !== window.before")
}

// wantState waits until the page says so.
func (b *browser) wantState(state string) {
	b.t.Helper()
	b.waitFor("it is "+state, "document.querySelector('main > section').dataset.state === '"+state+"'")
}

// The page of a migration from before the first window to its end, in a real browser: it refreshes itself without losing focus, scroll or
// what is unfolded; nothing fails in it, nothing is asked of anybody else, and axe has nothing to say.
func TestDashboardFollowsAMigration(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, with(rangeRun(), "ExportChunkTime", "200"))
	a.seed(clinic(t, 200)...)
	b := a.dashboard()
	if got := b.text("h1"); got != "Nothing is migrated yet" {
		t.Errorf("before anything happened it says %q", got)
	}
	b.wantAccessible("empty")
	a.fire("ExportTimer")
	b.refresh()
	b.wantState("running")
	last := eval[string](b, "[...document.querySelectorAll('details.window')].at(-1).dataset.key") // it is open for a while yet
	window := `details[data-key="` + last + `"]`
	b.do("unfold a window", chromedp.Click(chromedp.CSS(window+" > summary")), chromedp.EmulateViewport(1280, 500))
	eval[chromedp.Void](b, "document.querySelector('"+window+" > summary').focus(); scrollTo(0, 300)")
	for range 3 {
		a.fire("ExportTimer")
		a.fire("ImportTimer")
		a.fire("VerifyTimer")
	}
	b.refresh()
	kept := eval[string](b, "[document.activeElement === document.querySelector('"+window+" > summary'), document.querySelector('"+window+"').open, scrollY].join()")
	if kept != "true,true,300" {
		t.Errorf("after a refresh: %s", kept)
	}
	b.wantAccessible("running")
	a.runTo(end, nil)
	for a.fire("VerifyTimer"); a.status().Summary.Behind > 0; {
		a.fire("VerifyTimer")
	}
	for _, check := range []string{"/api/SurfaceCheck", "/api/DeepCheck?count=20"} {
		if status, body := a.call("POST", check, a.host.FunctionKey(), ""); status >= 300 {
			t.Errorf("%s: %d %s", check, status, body)
		}
	}
	b.wantState("finished") // by itself, within the time after which the page asks again
	b.wantAccessible("finished")
	b.wantNoProblem()
}

// with is settings with one more.
func with(settings map[string]string, name, value string) map[string]string {
	settings[name] = value
	return settings
}

// A migration that halted over a window which is now held goes on from the page: the dialog asks for the key of the action's function, for a name
// and a reason, and a reader's key does nothing.
func TestDashboardActs(t *testing.T) {
	t.Parallel()
	settings := with(with(rangeRun(), "MaxExportRetries", "1"), "ExportChunkTime", "200")
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, with(settings, "MaxParallelExports", "1")) // nothing succeeds in the tick in which one fails
	a.seed(clinic(t, 50)...)
	a.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "<b>unknown</b> error"}})
	for n := 0; a.status().Windows.Held == 0 || a.status().State != "halted"; n++ {
		if n > 100 {
			t.Fatalf("it is not halted with a window held: %+v", a.status())
		}
		a.fire("ExportTimer")
	}
	b := a.dashboard()
	b.wantState("halted")
	b.wantAccessible("halted")
	goOn := ".waits button[data-do=ClearMaxExportRetries]"
	b.do("open the dialog", chromedp.Click(chromedp.CSS(goOn)), chromedp.WaitVisible(chromedp.CSS("#confirm-key")))
	b.wantAccessible("dialog")
	b.expect("401")
	b.do("a reader's key", chromedp.SendKeys(chromedp.CSS("#confirm-key"), a.host.KeyOf("Dashboard")), chromedp.SendKeys(chromedp.CSS("#confirm-by"), "dr. who"),
		chromedp.SendKeys(chromedp.CSS("#confirm-reason"), "mended"), chromedp.Click(chromedp.CSS("#confirm-go")))
	b.waitFor("a reader's key is refused", "document.querySelector('#confirm-failed').textContent.includes('key')")
	if s := a.status(); s.State != "halted" {
		t.Errorf("a reader's key has done it: %s", s.State)
	}
	b.do("the right key", chromedp.SetValue(chromedp.CSS("#confirm-key"), a.host.KeyOf("ClearMaxExportRetries")), chromedp.Click(chromedp.CSS("#confirm-go")))
	b.waitFor("the dialog closes", "!document.querySelector('dialog').open")
	b.wantState("held")
	b.wantAccessible("held")
	if text := b.text(".waits .act"); !strings.Contains(text, "is held") || !strings.Contains(text, "<b>unknown</b> error") {
		t.Errorf("it waits for %q", text)
	}
	release := ".waits button[data-do=WindowRelease]"
	b.do("release it", chromedp.Click(chromedp.CSS(release)), chromedp.WaitVisible(chromedp.CSS("#confirm-key")),
		chromedp.SendKeys(chromedp.CSS("#confirm-key"), a.host.KeyOf("WindowRelease")), chromedp.SendKeys(chromedp.CSS("#confirm-reason"), "mended"), chromedp.Click(chromedp.CSS("#confirm-go")))
	b.waitFor("the page shows it", "!document.querySelector('dialog').open && document.querySelector('"+release+"') === null")
	if s := a.status(); s.Windows.Held != 0 {
		t.Errorf("after the release: %+v", s)
	}
	if action := a.row("export"+a.tables, "myrowkey1")["AttemptLog"]; action == nil || !strings.Contains(action.(string), "dr. who") {
		t.Errorf("the window does not say who released it: %v", action)
	}
	a.runTo(end, nil)
	a.wantEqual()
	stored := eval[string](b, "JSON.stringify([localStorage.length, sessionStorage.length, document.cookie, location.href])")
	if strings.Contains(stored, a.host.KeyOf("Dashboard")) || strings.Contains(stored, a.host.KeyOf("WindowRelease")) || !strings.HasPrefix(stored, `[0,0,"",`) {
		t.Errorf("the page keeps %s", stored)
	}
	b.mu.Lock()
	for i, request := range b.requests {
		if i > 0 && strings.Contains(request, "code=") {
			t.Errorf("the key is in the address of %s", request)
		}
	}
	b.mu.Unlock()
	b.wantNoProblem()
}

// The page says so when there is no status: app settings that cannot be worked with.
func TestDashboardWithoutSettings(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, map[string]string{"ChunkLimit": "many"})
	b := openBrowser(t, a.host.URL())
	b.expect("500")
	b.do("open the page", chromedp.Navigate(a.host.URL()+"/api/Dashboard?code="+a.host.FunctionKey()))
	if text := b.text("main"); !strings.Contains(text, "app settings cannot be worked with") || !strings.Contains(text, "AZURE_ChunkLimit") {
		t.Errorf("it says %q", text)
	}
	b.wantAccessible("settings")
	b.wantNoProblem()
}

// The headers under which a browser keeps the page to itself.
func TestDashboardHeaders(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.host.URL()+"/api/Dashboard", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("x-functions-key", a.host.FunctionKey())
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; script-src 'sha256-",
	} {
		if got := reply.Header.Get(name); reply.StatusCode != http.StatusOK || !strings.HasPrefix(got, want) {
			t.Errorf("%d, %s: %q, want %q", reply.StatusCode, name, got, want)
		}
	}
	if policy := reply.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
		t.Errorf("policy: %s", policy)
	}
}
