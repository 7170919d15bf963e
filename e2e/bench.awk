# The table of `make bench`, from what `go test -bench` prints.
BEGIN {
	say["DeepCheck resources/s"] = "DeepCheck: resources compared a second"
	say["DeepCheck original/s"] = "DeepCheck: one GET a resource, one after the other, as the original"
	say["DeepCheck ceiling/s"] = "DeepCheck: the same bundles downloaded and thrown away"
	say["DeepCheck x-original"] = "DeepCheck against the original's way"; least["DeepCheck x-original"] = 100
	say["DeepCheck of-ceiling"] = "DeepCheck against the download"; least["DeepCheck of-ceiling"] = 2 / 3
	say["SurfaceCheck s"] = "SurfaceCheck of 144 types: seconds"
	say["SurfaceCheck s-one-by-one"] = "SurfaceCheck: one count after the other, seconds"
	say["SurfaceCheck x-one-by-one"] = "SurfaceCheck against one after the other"; least["SurfaceCheck x-one-by-one"] = 8
	say["DeepCheckOfAMillion resources/s"] = "DeepCheck of a million from staged files: resources a second"
	say["DeepCheckOfAMillion MB-resident"] = "DeepCheck of a million: MB resident at most"; most["DeepCheckOfAMillion MB-resident"] = 150
}
/^Benchmark/ {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2) {
		key = name " " $(i + 1)
		if (key in say) { row(say[key], $i, key) } else if ($(i + 1) == "ns/op" && !(name ~ /^(Deep|Surface)Check/)) { row(name ": microseconds", $i / 1000, key) }
	}
}
function row(text, value, key) {
	wanted = ""
	if (key in least) { wanted = sprintf("at least %.3g: %s", least[key], value >= least[key] ? "yes" : "NO") }
	if (key in most) { wanted = sprintf("at most %d: %s", most[key], value <= most[key] ? "yes" : "NO") }
	table = table sprintf("%-70s %12s  %s\n", text, sprintf(value >= 100 ? "%.0f" : "%.3g", value), wanted)
}
END { printf "\n%-70s %12s  %s\n%s", "measured on this machine, now", "", "wanted", table }
