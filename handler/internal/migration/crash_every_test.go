//go:build !race

package migration

// crashEvery is the stride of the crash suite: every effect.
const crashEvery = 1
