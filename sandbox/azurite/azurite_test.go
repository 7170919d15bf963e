package azurite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"golang.org/x/sync/errgroup"
)

// ownerVariable makes the test binary an Azurite's user that prints its data folder and waits to be killed.
const ownerVariable = "AZURITE_TEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) != "" {
		s, err := Start(context.Background(), Options{})
		if err != nil {
			os.Stdout.WriteString("error: " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString(s.folder + " " + strings.TrimPrefix(s.blob, "http://") + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// What a TestMain gives back is the code of its tests, and nothing of the server outlives them.
func TestRunTests(t *testing.T) {
	t.Parallel()
	var shared *Server
	code := RunTests(func() int {
		if _, err := os.Stat(shared.folder); err != nil {
			t.Error(err)
		}
		return 3
	}, &shared)
	if _, err := os.Stat(shared.folder); code != 3 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("code %d, and the data folder: %v", code, err)
	}
}

func TestBlobsAndTablesWork(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})

	blobs, err := azblob.NewClientFromConnectionString(s.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blobs.CreateContainer(t.Context(), "import-1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := blobs.UploadBuffer(t.Context(), "import-1", "a.ndjson", []byte("{}\n"), nil); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	r, err := blobs.DownloadStream(t.Context(), "import-1", "a.ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := got.ReadFrom(r.Body); err != nil || got.String() != "{}\n" {
		t.Errorf("read %q, %v; want what was written", got.String(), err)
	}
	if blobs.URL() != s.BlobURL()+"/" && blobs.URL() != s.BlobURL() {
		t.Errorf("BlobURL %q, the connection string leads to %q", s.BlobURL(), blobs.URL())
	}

	tables, err := aztables.NewServiceClientFromConnectionString(s.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tables.CreateTable(t.Context(), "export", nil); err != nil {
		t.Fatal(err)
	}
	shared, err := aztables.NewSharedKeyCredential(AccountName, AccountKey)
	if err != nil {
		t.Fatal(err)
	}
	byURL, err := aztables.NewClientWithSharedKey(s.TableURL()+"/export", shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := byURL.AddEntity(t.Context(), []byte(`{"PartitionKey":"mig","RowKey":"1"}`), nil); err != nil {
		t.Errorf("insert by TableURL: %v", err)
	}
}

func TestSeveralAtATimeDoNotShare(t *testing.T) {
	t.Parallel()
	servers := make([]*Server, 3)
	var g errgroup.Group
	for i := range servers {
		g.Go(func() (err error) {
			servers[i], err = Start(t.Context(), Options{})
			return err
		})
	}
	err := g.Wait()
	seen := map[string]bool{}
	for _, s := range servers {
		if s == nil {
			continue
		}
		for _, u := range []string{s.blob, s.queue, s.table, s.folder} {
			if seen[u] {
				t.Errorf("%s is used twice", u)
			}
			seen[u] = true
		}
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := start(t, Options{Log: &log})
	if _, err := os.Stat(filepath.Join(s.folder, "__azurite_db_table__.json")); err != nil {
		t.Errorf("the data is not in the temporary folder: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder after Close: %v, want it gone", err)
	}
	if !refuses(strings.TrimPrefix(s.blob, "http://")) {
		t.Errorf("%s still listens after Close", s.blob)
	}
	if !strings.Contains(log.String(), "Table service is successfully listening") {
		t.Errorf("log holds %q, want Azurite's output", log.String())
	}
}

func TestNotInstalledNamesTheCommand(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "npm ci --prefix sandbox") {
		t.Errorf("got %v, want ErrNotInstalled with the command", err)
	}
}

func TestBrokenInstallQuotesNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	entry := filepath.Join(dir, "node_modules", "azurite", "dist", "src", "azurite.js")
	if err := os.MkdirAll(filepath.Dir(entry), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(entry, []byte(`throw new Error("half a package")`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "half a package") {
		t.Errorf("got %v, want what node said", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestDiesWithItsUser(t *testing.T) {
	t.Parallel()
	user := exec.CommandContext(t.Context(), os.Args[0])
	user.Env = append(os.Environ(), ownerVariable+"=1")
	out, err := user.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := user.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	folder, address, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if err != nil || !ok || strings.HasPrefix(line, "error") {
		t.Fatalf("the user said %q, %v", line, err)
	}
	address, _, _ = strings.Cut(address, "/")
	if refuses(address) {
		t.Fatalf("nothing listens on %s while the user lives", address)
	}
	if err := user.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = user.Wait() // killed

	gone := func() bool {
		_, err := os.Stat(folder)
		return errors.Is(err, os.ErrNotExist) && refuses(address)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); !gone(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("Azurite outlived its user by 30 s")
		}
	}
}

func refuses(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	return err != nil
}
