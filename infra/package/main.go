// Command package puts together what is published: a folder with just what the function app needs (host.json, one folder a function, the
// handler) and the same as a zip. The same sources and the same handler give the same bytes: entries are sorted, and their times are fixed.
//
//	package -root . -handler dist/handler -to dist
//
// makes dist/app and dist/app.zip. `make package` builds the handler and calls it.
package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"debug/elf"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// maxZip bounds the zip, in bytes. What is over it holds something that does not belong there.
const maxZip = 15 << 20

// stamp is the time of every entry: the first that a zip can say.
var stamp = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// file is a file of the package. Mode is 0755 for the handler, which no plan but Flex Consumption makes executable by itself, and 0644 otherwise.
type file struct {
	content []byte
	mode    os.FileMode
}

func main() {
	root := flag.String("root", ".", "the repository: host.json and one folder a function")
	handler := flag.String("handler", "", "the handler, built for linux without cgo")
	to := flag.String("to", "dist", "where app/ and app.zip are made; app/ is made anew")
	flag.Parse()
	if err := run(*root, *handler, *to); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

func run(root, handler, to string) error {
	files, err := collect(root, handler)
	if err != nil {
		return err
	}
	packed, err := pack(files)
	if err != nil {
		return err
	}
	if err := stage(files, filepath.Join(to, "app")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "app.zip"), packed, 0o644)
}

// collect reads what the function app needs, by the name it has there.
func collect(root, handler string) (map[string]file, error) {
	host, err := os.ReadFile(filepath.Join(root, "host.json"))
	if err != nil {
		return nil, err
	}
	executable, err := executablePath(host)
	if err != nil {
		return nil, fmt.Errorf("host.json: %w", err)
	}
	binary, err := os.ReadFile(handler)
	if err != nil {
		return nil, err
	}
	if err := checkBinary(binary); err != nil {
		return nil, fmt.Errorf("%s: %w", handler, err)
	}
	files := map[string]file{"host.json": {host, 0o644}, executable: {binary, 0o755}}
	functions, err := filepath.Glob(filepath.Join(root, "*", "function.json"))
	if err != nil {
		return nil, err
	}
	if len(functions) == 0 {
		return nil, fmt.Errorf("%s has no function: no folder holds a function.json", root)
	}
	for _, f := range functions {
		content, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		files[path.Join(filepath.Base(filepath.Dir(f)), "function.json")] = file{content, 0o644}
	}
	return files, nil
}

// executablePath is where the host looks for the handler. func sets the executable bit on the entry of exactly this name.
func executablePath(hostJSON []byte) (string, error) {
	var host struct {
		CustomHandler struct {
			Description struct {
				DefaultExecutablePath string `json:"defaultExecutablePath"`
			} `json:"description"`
		} `json:"customHandler"`
	}
	if err := json.Unmarshal(hostJSON, &host); err != nil {
		return "", err
	}
	name := host.CustomHandler.Description.DefaultExecutablePath
	if name == "" || name != path.Clean(name) || !filepath.IsLocal(name) {
		return "", fmt.Errorf("customHandler.description.defaultExecutablePath is %q: it must be a plain path inside the app, such as bin/handler", name)
	}
	return name, nil
}

// checkBinary refuses what would not start in Azure: another system's program, or one that needs a C library.
func checkBinary(binary []byte) error {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("not a Linux program: %w", err)
	}
	if libraries, err := f.ImportedLibraries(); len(libraries) > 0 {
		return fmt.Errorf("it needs the libraries %q: build it with CGO_ENABLED=0", libraries)
	} else if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return err
	}
	return nil
}

// pack makes the zip, which is the same for the same files.
func pack(files map[string]file) ([]byte, error) {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestCompression) })
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: stamp}
		header.SetMode(files[name].mode)
		entry, err := w.CreateHeader(header)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if _, err := entry.Write(files[name].content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if packed.Len() > maxZip {
		return nil, fmt.Errorf("app.zip has %d bytes, more than %d: something in it does not belong there", packed.Len(), maxZip)
	}
	return packed.Bytes(), nil
}

// stage makes folder anew with the files in it.
func stage(files map[string]file, folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	for name, f := range files {
		to := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, f.content, f.mode); err != nil {
			return err
		}
	}
	return nil
}
