package azurite

import (
	"errors"
	"os"
	"testing"
)

// Each test keeps its emulator, the next one shares it until it has had its share of users, and none outlives those.
func TestPool(t *testing.T) {
	t.Parallel()
	pool := Pool{Each: 2}
	users := map[string]*Server{}
	run := func() int {
		for _, name := range []string{"first", "second", "third"} {
			t.Run(name, func(t *testing.T) {
				users[name] = pool.For(t)
				if again := pool.For(t); again != users[name] {
					t.Errorf("another emulator: %s, then %s", users[name].folder, again.folder)
				}
				if !alive(users[name]) {
					t.Errorf("%s is gone before its user is", users[name].folder)
				}
			})
			if shared := users[name]; name == "first" && !alive(shared) {
				t.Errorf("%s is gone before it had its users", shared.folder)
			}
		}
		return 3
	}
	if code := pool.RunTests(run); code != 3 {
		t.Errorf("code %d, want that of the tests", code)
	}
	if users["first"] != users["second"] || users["second"] == users["third"] {
		t.Errorf("emulators %p, %p and %p, want two users to an emulator", users["first"], users["second"], users["third"])
	}
	for name, s := range users {
		if alive(s) {
			t.Errorf("the emulator of the %s test outlives its users", name)
		}
	}
}

// alive says whether the data folder is still there: [Server.Close] removes it once the process is gone.
func alive(s *Server) bool {
	_, err := os.Stat(s.folder)
	return !errors.Is(err, os.ErrNotExist)
}
