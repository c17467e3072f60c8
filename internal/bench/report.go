package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// A Report is all that one run measured.
type Report struct {
	Machine  Machine
	Command  string
	Started  time.Time
	Took     time.Duration
	Plan     Plan
	Cases    []CaseResult
	Ceilings []CeilingResult
	StartUp  *StartResult
	Pipeline *PipelineResult
	Notes    []string // what was left out, and why
}

// A CeilingResult is a ceiling and what came of it through ours.
type CeilingResult struct {
	Case      Case
	PerSecond float64
	Fraction  float64 // ours, of it
}

// A Machine is where it was measured.
type Machine struct {
	CPU     string
	CPUs    int
	Memory  int64 // bytes
	Kernel  string
	Postfix string
	Ours    string
	Load    string // the load averages before the run
}

// Describe looks at the machine. It is told the releases of Postfix and of ours.
func Describe(postfix, ours string) Machine {
	m := Machine{CPU: "unknown", CPUs: runtime.NumCPU(), Kernel: firstLine("/proc/sys/kernel/osrelease"),
		Postfix: postfix, Ours: ours, Load: firstLine("/proc/loadavg")}
	if v, ok := lineValue("/proc/cpuinfo", "model name"); ok {
		m.CPU = v
	}
	if v, ok := lineValue("/proc/meminfo", "MemTotal"); ok {
		var kb int64
		fmt.Sscan(v, &kb)
		m.Memory = kb << 10
	}
	if f := strings.Fields(m.Load); len(f) > 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	return m
}

// Noisy tells whether the machine had other work.
func (m Machine) Noisy() bool {
	var load float64
	fmt.Sscan(m.Load, &load)
	return load > 0.3
}

func firstLine(path string) string {
	data, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// lineValue returns what follows "name" and a colon in a file.
func lineValue(path, name string) (string, bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
