package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What would not start in Azure is not packed, and the error says what to do.
func TestPackageRefuses(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const hostJSON = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"bin/handler"}}}`
	for name, c := range map[string]struct {
		files   map[string]string // besides the function F
		handler string
		want    string
	}{
		"no host.json":               {nil, self, "host.json"},
		"no handler named":           {map[string]string{"host.json": `{"version":"2.0"}`}, self, "defaultExecutablePath"},
		"a handler outside the app":  {map[string]string{"host.json": strings.Replace(hostJSON, "bin/handler", "../handler", 1)}, self, "inside the app"},
		"a handler named by its dot": {map[string]string{"host.json": strings.Replace(hostJSON, "bin/handler", "./handler", 1)}, self, "plain path"},
		"no function":                {map[string]string{"host.json": hostJSON, "F/function.json": ""}, self, "no function"},
		"no Linux program":           {map[string]string{"host.json": hostJSON}, "main_test.go", "not a Linux program"},
		"needs a C library":          {map[string]string{"host.json": hostJSON}, "/bin/sh", "CGO_ENABLED=0"},
		"nothing built":              {map[string]string{"host.json": hostJSON}, "missing", "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			files := map[string]string{"F/function.json": "{}"}
			for name, content := range c.files {
				files[name] = content
			}
			for name, content := range files {
				if content == "" {
					continue
				}
				to := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(to, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			to := t.TempDir()
			if err := run(root, c.handler, to); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
			if left, _ := os.ReadDir(to); len(left) > 0 {
				t.Errorf("it left %v behind", left)
			}
		})
	}
}

// A file that has grown beyond what can belong to the app is noticed. Random bytes cannot be compressed.
func TestPackageHasABound(t *testing.T) {
	t.Parallel()
	noise := make([]byte, maxZip)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	if _, err := pack(map[string]file{"bin/handler": {noise, 0o755}}); err == nil || !strings.Contains(err.Error(), "does not belong") {
		t.Errorf("error %v", err)
	}
}
