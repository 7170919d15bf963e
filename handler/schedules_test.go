package main

import "testing"

// The host takes app settings whatever the case of their names, so a schedule that it fires by must not be called missing on the page.
func TestSchedulesInAnyCase(t *testing.T) {
	t.Parallel()
	got := schedules([]string{"exporttimerSCHEDULE=0 */2 * * * *", "ImportTimerSchedule=00:00:30", "VerifyTimerScheduled=never"})
	if got["ExportTimer"] != "0 */2 * * * *" || got["ImportTimer"] != "00:00:30" || got["VerifyTimer"] != "" {
		t.Errorf("%v", got)
	}
}
