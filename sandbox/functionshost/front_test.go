package functionshost

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// request calls the host's front and returns status and body. Redirects are not followed.
func request(t *testing.T, h *Host, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.URL()+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, target, err)
	}
	return response, string(text)
}

// 2.2: POST /admin/functions/<name>.
func TestAdmin(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Object")
	a.http(t, "Page", "")
	a.options.MasterKey, a.options.FunctionKey = "master", "function"
	h := a.start(t)
	for body, want := range map[string]int{"": 400, "input": 400, "[]": 400, "null": 400, "{}": 202} {
		if got, _ := request(t, h, "POST", "/admin/functions/Object", body, "x-functions-key", "master", "Content-Type", "application/json; charset=utf-8"); got.StatusCode != want {
			t.Errorf("body %q: %d, want %d", body, got.StatusCode, want)
		}
	}
	if got, _ := request(t, h, "POST", "/admin/functions/Object", "{}", "x-functions-key", "master"); got.StatusCode != 415 {
		t.Errorf("without a content type: %d, want 415", got.StatusCode)
	}
	for _, c := range []struct {
		method, target, key string
		want                int
	}{
		{"POST", "/admin/functions/Object", "master", 202},
		{"POST", "/admin/functions/Object?code=master", "", 202},
		{"POST", "/admin/functions/Object", "", 401},
		{"POST", "/admin/functions/Object", "function", 401},
		{"POST", "/admin/functions/Object?code=master", "wrong", 401},
		{"POST", "/admin/functions/Nobody", "wrong", 401},
		{"POST", "/admin/functions/Nobody", "master", 404},
		{"GET", "/admin/functions/Object", "master", 404},
		{"POST", "/admin/functions/Page", "master", 400},
		{"GET", "/admin/elsewhere", "master", 404},
	} {
		if got, _ := request(t, h, c.method, c.target, `{"input":""}`, "x-functions-key", c.key, "Content-Type", "application/json"); got.StatusCode != c.want {
			t.Errorf("%s %s with key %q: %d, want %d", c.method, c.target, c.key, got.StatusCode, c.want)
		}
	}
	a.log.await(t, "Function.Object: Executed (Succeeded", 3)
}

// Section 3: keys and methods are the host's affair.
func TestHTTPAccess(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Object")
	a.http(t, "Open", `,"authLevel":"anonymous","methods":["get","post"]`)
	a.http(t, "Locked", "")
	a.http(t, "Other", "")
	a.http(t, "Secret", `,"authLevel":"ADMIN"`)
	a.http(t, "Off", `,"authLevel":"anonymous"`)
	a.options.Settings["AzureWebJobs.Off.Disabled"] = "True"
	h := a.start(t)
	none, function, master := "", h.FunctionKey(), h.MasterKey()
	for _, c := range []struct {
		method, target, key string
		want                int
	}{
		{"GET", "/api/Open", none, 200}, {"GET", "/API/open/", none, 200}, {"POST", "/api/Open", "nonsense", 200},
		{"DELETE", "/api/Open", none, 404}, {"DELETE", "/api/Open", master, 404},
		{"GET", "/api/Locked", none, 401}, {"GET", "/api/Locked", "nonsense", 401}, {"GET", "/api/Locked", function, 200}, {"PUT", "/api/Locked", master, 200},
		{"GET", "/api/Locked", h.KeyOf("Locked"), 200}, {"GET", "/api/Other", h.KeyOf("Locked"), 401}, {"GET", "/api/Secret", h.KeyOf("Secret"), 401},
		{"GET", "/api/Locked?code=" + function, none, 200}, {"GET", "/api/Locked?code=" + function, "nonsense", 401},
		{"GET", "/api/Secret", none, 401}, {"GET", "/api/Secret", function, 401}, {"GET", "/api/Secret", master, 200},
		{"GET", "/api/Off", none, 404}, {"GET", "/api/Off", function, 404}, {"GET", "/api/Off", master, 200},
		{"GET", "/api/Nobody", master, 404}, {"GET", "/Open", master, 404}, {"GET", "/", master, 404},
		// A timer is no route: nobody outside can play the host.
		{"POST", "/Object", master, 404}, {"POST", "/api/Object", master, 404},
	} {
		got, _ := request(t, h, c.method, c.target, "", "x-functions-key", c.key)
		if got.StatusCode != c.want {
			t.Errorf("%s %s with key %q: %d, want %d", c.method, c.target, c.key, got.StatusCode, c.want)
		}
	}
}

// Section 3, the column of enableProxyingHttpRequest: what the handler gets.
func TestProxiedRequest(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.http(t, "Item", `,"route":"things/{id}","methods":["patch"]`)
	h := a.start(t)
	front, err := url.Parse(h.URL())
	if err != nil {
		t.Fatal(err)
	}
	target := "/api/Things/a%2Fb?x=1&x=2&broken=%zz;&code=" + h.FunctionKey()
	_, body := request(t, h, "PATCH", target, "the body",
		"User-Agent", "caller/1", "X-Azure-Functions-InvocationId", "forged", "X-Forwarded-For", "10.9.8.7", "X-Own", "1", "X-Own", "2", "x-functions-key", h.FunctionKey())
	got := decode[received](t, body)

	if got.Method != "PATCH" || got.Target != target || got.Body != "the body" {
		t.Errorf("the handler got %s %s %q, want it as sent", got.Method, got.Target, got.Body)
	}
	if got.Host == front.Host {
		t.Errorf("the handler got the caller's Host %s", got.Host)
	}
	a.log.await(t, "Function.Item: Executed (Succeeded", 1) // the caller may have its answer a little earlier
	invocations := h.Invocations()
	id := invocations[len(invocations)-1].ID
	for name, want := range map[string]string{
		"User-Agent": "caller/1", "X-Forwarded-Host": front.Host, "X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1",
		"X-Azure-Functions-Invocationid": id, "X-Ms-Invocation-Id": id, "X-Functions-Key": h.FunctionKey(), "X-Own": "1,2",
	} {
		if value := strings.Join(got.Header[name], ","); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
}

// Section 3: what the caller gets. The invocation succeeds whatever the status.
func TestProxiedAnswers(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.http(t, "All", `,"route":"{*path}","authLevel":"anonymous"`)
	h := a.start(t)
	if got, body := request(t, h, "GET", "/api/teapot", ""); got.StatusCode != http.StatusTeapot || body != "short and stout" {
		t.Errorf("got %d %q", got.StatusCode, body)
	}
	if got, _ := request(t, h, "GET", "/api/moved", ""); got.StatusCode != http.StatusFound || got.Header.Get("Location") != "/elsewhere" {
		t.Errorf("got %d to %q, want the redirect passed on", got.StatusCode, got.Header.Get("Location"))
	}
	a.log.await(t, "Function.All: Executed (Succeeded", 2)
	for _, inv := range h.Invocations() {
		if !inv.Succeeded || inv.Cause != "http" {
			t.Errorf("%+v", inv)
		}
	}

	// An answer that breaks off breaks off for the caller too.
	response, err := http.Get(h.URL() + "/api/halved")
	if err == nil {
		_, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	if err == nil {
		t.Error("half an answer was passed on as a whole one")
	}

	// A crash is 502 to its caller, whose body cannot be sent twice, and the next one waits for the restart.
	if got, _ := request(t, h, "POST", "/api/crash", "body"); got.StatusCode != http.StatusBadGateway {
		t.Errorf("got %d, want 502", got.StatusCode)
	}
	if got, _ := request(t, h, "GET", "/api/again", ""); got.StatusCode != 200 {
		t.Errorf("got %d after the restart, want 200", got.StatusCode)
	}
}

// Section 3: a request without a body whose connection broke is sent again, so that the handler is entered twice.
func TestProxiedRequestEntersTwice(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.http(t, "All", `,"route":"{*path}","authLevel":"anonymous"`)
	h := a.start(t)
	if got, body := request(t, h, "POST", "/api/frail", ""); got.StatusCode != 200 || body != "entered 2" {
		t.Errorf("without a body: %d %q, want the answer to the second try", got.StatusCode, body)
	}
	if got, _ := request(t, h, "POST", "/api/frail", "body"); got.StatusCode != http.StatusBadGateway {
		t.Errorf("with a body: %d, want 502", got.StatusCode)
	}
	if _, body := request(t, h, "GET", "/api/frail", ""); body != "entered 4" {
		t.Errorf("%q, want the request with a body to have entered once", body)
	}
}

// 1.4: a request that waits in vain for a handler is answered, and the host is then gone.
func TestProxiedRequestWithoutHandler(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.http(t, "Page", `,"authLevel":"anonymous"`)
	a.override("customHandler__description__defaultExecutablePath", "bin/missing")
	a.override("customHandler__initializationTimeout", "00:00:00.1")
	h := a.start(t)
	r, err := http.Get(h.URL() + "/api/Page")
	if err == nil {
		r.Body.Close()
		if r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503", r.StatusCode)
		}
	} // the host may also have gone before it answered
	<-h.Stopped()
	if r, err := http.Get(h.URL() + "/api/Page"); err == nil { // somebody else may have the port by now
		r.Body.Close()
	}
	if got := strings.Count(a.log.String(), "Executing"); got != 1 {
		t.Errorf("%d invocations, want none by a host that has stopped", got)
	}
}
