package main

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"fhirmigration/handler/internal/settings"
)

// A step's budget and a claim's life follow from functionTimeout: the default of FunctionTimeoutMinutes is what host.json says.
func TestFunctionTimeoutIsWhatHostJSONSays(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../host.json")
	if err != nil {
		t.Fatal(err)
	}
	var host struct{ FunctionTimeout string }
	if err := json.Unmarshal(b, &host); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse("15:04:05", host.FunctionTimeout)
	if err != nil {
		t.Fatal(err)
	}
	timeout := at.Sub(at.Truncate(24 * time.Hour))
	s, err := settings.Load([]string{"AZURE_SourceUri=https://a.example.com", "AZURE_DestinationUri=https://b.example.com",
		"AZURE_StagingStorageUri=https://c.table.core.windows.net", "AZURE_BlobStorageUri=https://c.blob.core.windows.net"})
	if err != nil {
		t.Fatal(err)
	}
	if s.StepBudget() >= timeout/2 || s.ClaimTime() <= timeout || time.Duration(s.FunctionTimeoutMinutes*float64(time.Minute)) != timeout {
		t.Errorf("functionTimeout %s: FunctionTimeoutMinutes %v, budget %s, claim %s", timeout, s.FunctionTimeoutMinutes, s.StepBudget(), s.ClaimTime())
	}
}
