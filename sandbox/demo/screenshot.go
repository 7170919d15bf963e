package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// pictureAt is the share of the time that is migrated when the picture is taken.
const pictureAt = 0.55

// dashboard is the address of the page, with the key of that function alone, which the page takes out of it.
func (p *platform) dashboard() string {
	host := p.app.current()
	return host.URL() + "/api/Dashboard?code=" + host.KeyOf("Dashboard")
}

// screenshot takes a picture of the dashboard when the migration is half-way.
func (p *platform) screenshot(ctx context.Context, file string) error {
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		share, err := p.share(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%s: the migration ended before it was half-way", file)
		}
		if err == nil && share >= pictureAt {
			return p.picture(ctx, file)
		}
		select {
		case <-ctx.Done():
		case <-looks.C:
		}
	}
}

// share is how much of the time is migrated, from 0 to 1, as the status says.
func (p *platform) share(ctx context.Context) (float64, error) {
	host := p.app.current()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, host.URL()+"/api/Status", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("x-functions-key", host.FunctionKey())
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	var status struct{ Progress struct{ ShareOfTime float64 } }
	err = json.NewDecoder(reply.Body).Decode(&status)
	return status.Progress.ShareOfTime, err
}

// picture has Chromium show the page to nobody but a file.
func (p *platform) picture(ctx context.Context, file string) error {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		return errors.New("screenshot: no chromium on the PATH: install Debian's package with `apt-get install chromium`")
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	profile, err := os.MkdirTemp("", "fhir-migration-browser-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	out, err := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
		"--hide-scrollbars", "--user-data-dir="+profile, "--window-size=1280,1080", "--screenshot="+path, p.dashboard()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("screenshot %s: %w\n%s", file, err, out)
	}
	return nil
}
