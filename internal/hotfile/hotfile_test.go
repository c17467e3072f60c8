package hotfile

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for age, want := range map[time.Duration]bool{
			0: true, time.Second: true, 2 * time.Second: false, time.Hour: false, -2 * time.Second: false,
		} {
			if got := Hot(now.Add(-age), now); got != want {
				t.Errorf("%v old: %v", age, got)
			}
		}
	})
}
