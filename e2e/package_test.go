package e2e

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// unzip unpacks a zip as Azure does: with the modes that it says.
func unzip(from, to string) error {
	r, err := zip.OpenReader(from)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, f := range r.File {
		name := filepath.Join(to, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		content, err := readEntry(f)
		if err == nil {
			err = os.WriteFile(name, content, f.Mode())
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", f.Name, err)
		}
	}
	return nil
}

func readEntry(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// The same sources give the same bytes; in them is what the function app needs and nothing else, the handler executable.
func TestPackageIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	first, err := os.ReadFile(filepath.Join(distFolder, "app.zip"))
	if err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "make", "-C", "..", "package", "ARCH="+runtime.GOARCH, "VERSION=v0-e2e", "DIST="+again).CombinedOutput()
	if err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	second, err := os.ReadFile(filepath.Join(again, "app.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("make package gave two different zips, of %d and %d bytes", len(first), len(second))
	}
	if len(first) > 15<<20 {
		t.Errorf("the zip has %d bytes", len(first))
	}
	var want, got []string
	functions, err := filepath.Glob("../*/function.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		want = append(want, strings.TrimPrefix(filepath.ToSlash(f), "../")+" 0644")
	}
	want = append(want, "host.json 0644", "bin/handler 0755")
	slices.Sort(want)
	r, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		got = append(got, fmt.Sprintf("%s %04o", f.Name, f.Mode().Perm()))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("in the zip:\n%s\nwanted:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	err = filepath.WalkDir(filepath.Join(again, "app"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(filepath.Join(again, "app"), path)
			if !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, filepath.ToSlash(name)+" ") }) {
				t.Errorf("dist/app has %s, the zip has not", name)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What was unpacked from the zip runs the demo's migration, and says the version that was stamped.
func TestPackageMigrates(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 200)...)
	a.runTo(end, nil)
	a.wantEqual()
	if !a.log.holds(`"version":"v0-e2e"`, 1) {
		t.Error("the handler does not say the version that was stamped")
	}
}

// make publish runs func in the packaged folder and nowhere else, and says what is missing. func is a script here that notes how it is
// called: publishing itself takes Azure.
func TestPublishCallsFunc(t *testing.T) {
	t.Parallel()
	dist, tools := t.TempDir(), t.TempDir()
	publish := func(path string, arguments ...string) (string, error) {
		command := exec.CommandContext(t.Context(), "make", append([]string{"-C", "..", "publish", "ARCH=" + runtime.GOARCH, "DIST=" + dist}, arguments...)...)
		command.Env = append(os.Environ(), "PATH="+path)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	path := os.Getenv("PATH")
	if out, err := publish(path); err == nil || !strings.Contains(out, "make publish APP=<name>") {
		t.Errorf("without a name: %v\n%s", err, out)
	}
	bare := t.TempDir() // a PATH with what the rule needs to say that func is missing
	for _, tool := range []string{"make", "bash"} {
		found, err := exec.LookPath(tool)
		if err == nil {
			err = os.Symlink(found, filepath.Join(bare, tool))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := publish(bare, "APP=contoso", "SHELL=/bin/bash"); err == nil || !strings.Contains(out, "Core Tools") {
		t.Errorf("without func: %v\n%s", err, out)
	}
	script := "#!/bin/sh\npwd > " + tools + "/called\nls >> " + tools + "/called\necho \"$@\" >> " + tools + "/called\n"
	if err := os.WriteFile(filepath.Join(tools, "func"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := publish(tools+":"+path, "APP=contoso"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	called, err := os.ReadFile(filepath.Join(tools, "called"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{filepath.Join(dist, "app") + "\n", "\nhost.json\n", "\nExportTimer\n", "\nazure functionapp publish contoso --custom\n"} {
		if !strings.Contains(string(called), want) {
			t.Errorf("func was called without %q:\n%s", want, called)
		}
	}
}

// Whoever publishes from the checkout publishes what the package holds: .funcignore keeps out everything else that is committed.
func TestFuncignoreKeepsOutTheRest(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "--cached", "--ignored", "--exclude-from=.funcignore").Output()
	if err != nil {
		t.Fatal(err)
	}
	all, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	ignored := strings.Fields(string(out))
	for _, name := range strings.Fields(string(all)) {
		if slices.Contains(ignored, name) || name == "host.json" || strings.Count(name, "/") == 1 && strings.HasSuffix(name, "/function.json") {
			continue
		}
		t.Errorf(".funcignore lets %s through", name)
	}
}
