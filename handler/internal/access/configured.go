package access

import (
	"fmt"
	"regexp"
	"strings"
)

// settings says which app settings cannot be worked with.
func (c Check) settings() []Line {
	l := Line{Name: "settings", Tried: "all app settings that begin with AZURE_", Result: OK}
	if c.SettingsError != nil {
		l.Result, l.Found = NotOK, c.SettingsError.Error()
		l.Do = "mend them and restart the function app; nothing else can be tried before"
		return []Line{l}
	}
	l.Found = strings.Join(c.Settings.Notices, "; ")
	return []Line{l}
}

// timers are the timer functions with what each does when it never fires.
var timers = []struct{ name, without string }{
	{"ExportTimer", "nothing is planned or exported"}, {"ImportTimer", "nothing is imported"}, {"VerifyTimer", "checks do not go on"},
}

// schedules says whether the timers can fire. The host reads the schedules; here it is only seen whether they are there and look like one.
func (c Check) schedules() (all []Line) {
	for _, t := range timers {
		setting := t.name + "Schedule"
		l := Line{Name: "schedule of " + t.name, Tried: "the app setting " + setting, Result: OK, Found: c.environment(setting)}
		switch disabled := c.environment("AzureWebJobs."+t.name+".Disabled") + c.environment("AzureWebJobs_"+t.name+"_Disabled"); {
		case l.Found == "":
			l.Result, l.Found = NotOK, "not set, so that the function is not there: "+t.without
			l.Do = fmt.Sprintf("set %s to when it fires, such as 0 */2 * * * *", setting)
		case !schedule.MatchString(l.Found):
			l.Result, l.Do = NotOK, fmt.Sprintf("set %s to six fields (seconds first), such as 0 */2 * * * *", setting)
		case strings.EqualFold(disabled, "true") || disabled == "1":
			l.Result, l.Found = NotOK, "the function is disabled: "+t.without
			l.Do = fmt.Sprintf("take the app setting AzureWebJobs.%s.Disabled away when it is to go on", t.name)
		}
		all = append(all, l)
	}
	return all
}

// schedule is what a schedule looks like: six fields, five for a classic cron expression, or a time span.
var schedule = regexp.MustCompile(`^(\S+( +\S+){4,5}|\d{1,2}:\d{2}:\d{2}(\.\d{1,7})?)$`)

// environment is the value of an app setting, whatever the case of its name.
func (c Check) environment(name string) string {
	for _, entry := range c.Environ {
		if n, value, _ := strings.Cut(entry, "="); strings.EqualFold(n, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
