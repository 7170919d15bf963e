//go:build race

package migration

// crashEvery is the stride of the crash suite under the race detector, which makes it ten times slower: a sample.
const crashEvery = 20
