package functionshost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// hostVersion is the host that is played: the first release that proxies HTTP functions.
const (
	hostVersion = "4.1041.200"
	userAgent   = "Azure-Functions-Host/" + hostVersion
)

// timerStatus is what the host keeps of a timer that it monitors.
type timerStatus struct{ last, next, updated time.Time }

// The layouts of the two kinds of time in the envelope: of the host's local time with its offset, which is UTC here, and of UTC.
const (
	offsetLayout = "2006-01-02T15:04:05.9999999-07:00"
	utcLayout    = "2006-01-02T15:04:05.9999999Z"
)

// timerEnvelope is the body of a timer's call. status is nil for a timer that is not monitored.
func timerEnvelope(f *function, status *timerStatus, now time.Time) ([]byte, error) {
	info := map[string]any{
		"Schedule":       map[string]any{"AdjustForDST": f.schedule.adjustsForDST()},
		"ScheduleStatus": nil,
		"IsPastDue":      false,
	}
	if status != nil {
		info["ScheduleStatus"] = map[string]string{
			"Last": hostTime(status.last), "Next": hostTime(status.next), "LastUpdated": hostTime(status.updated),
		}
	}
	return json.Marshal(map[string]any{
		"Data": map[string]any{f.binding: info},
		"Metadata": map[string]any{"sys": map[string]string{
			"MethodName": f.Name, "UtcNow": now.UTC().Format(utcLayout), "RandGuid": uuid.NewString(),
		}},
	})
}

// hostTime writes a moment of a timer's status. A run that never was is .NET's default DateTime, which has no time zone and so no offset.
func hostTime(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00"
	}
	return t.UTC().Format(offsetLayout)
}

// callTimer posts the envelope to the handler and judges the reply.
func callTimer(f *function, body []byte) work {
	return func(ctx context.Context, p *process, id string) ([]string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/"+f.Name, nil)
		if err != nil {
			return nil, err
		}
		// Of unknown length, and so chunked: that is how the host sends it.
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = -1
		request.Header.Set("Content-Type", "application/json; charset=utf-8")
		request.Header.Set("User-Agent", userAgent)
		request.Header.Set("X-Azure-Functions-InvocationId", id)
		request.Header.Set("X-Azure-Functions-HostVersion", hostVersion)
		request.Header.Set("Traceparent", traceParent())
		response, err := p.client.Do(request)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
		}
		defer response.Body.Close()
		return judge(ctx, response)
	}
}

// traceParent is a new W3C trace context.
func traceParent() string {
	return fmt.Sprintf("00-%016x%016x-%016x-00", rand.Uint64(), rand.Uint64(), rand.Uint64())
}

// reply is what the host reads of a handler's answer. All of it is optional, names match whatever their case, and the rest is ignored.
type reply struct {
	Outputs     map[string]json.RawMessage
	Logs        []string
	ReturnValue json.RawMessage
}

// judge applies the host's rules to the answer to an enveloped call. An answer without content makes it wait for ever: the host's code forgets
// to complete the invocation, which then ends by functionTimeout.
func judge(ctx context.Context, response *http.Response) ([]string, error) {
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, fmt.Errorf("response status code does not indicate success: %s", response.Status) // the body is not read
	}
	if response.ContentLength == 0 || response.StatusCode == http.StatusNoContent {
		return hang(ctx)
	}
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" && mediaType != "text/json" {
		return nil, fmt.Errorf("unsupported media type %q: a reply needs Content-Type: application/json", response.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the reply: %w", err)
	}
	if text := bytes.TrimSpace(body); len(text) == 0 || string(text) == "null" {
		return hang(ctx)
	}
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("the reply is not what a handler answers: %w: %s", err, excerpt(body))
	}
	return r.Logs, nil
}

func hang(ctx context.Context) ([]string, error) {
	<-ctx.Done()
	return nil, errors.New("the reply was empty")
}

// excerpt is the beginning of a reply for an error message.
func excerpt(body []byte) string {
	const most = 500
	if len(body) > most {
		body = body[:most]
	}
	return strings.ToValidUTF8(string(body), "?")
}
