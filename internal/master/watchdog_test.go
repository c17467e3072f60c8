package master

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var barked, bitten atomic.Int64
		w := startWatchdog(time.Hour, time.Minute,
			func() { barked.Store(int64(time.Since(start))) },
			func() { bitten.Store(int64(time.Since(start))) })
		ctx := context.WithValue(t.Context(), watchdogKey{}, w)
		time.Sleep(40 * time.Minute)
		Pat(ctx)
		time.Sleep(40 * time.Minute)
		synctest.Wait()
		if after := time.Duration(barked.Load()); after != 0 {
			t.Fatalf("barked after %v", after)
		}
		time.Sleep(time.Hour)
		Pat(ctx) // too late
		synctest.Wait()
		bark, bite := time.Duration(barked.Load()), time.Duration(bitten.Load())
		if want := 100 * time.Minute; bark != want || bite != want+time.Minute {
			t.Errorf("barked after %v, bit after %v; want %v and a minute more", bark, bite, want)
		}
	})
}

func TestWatchdogStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := func() { t.Error("a watchdog that was stopped") }
		w := startWatchdog(time.Hour, time.Minute, fail, fail)
		w.stop()
		w.pat()
		late := startWatchdog(time.Hour, time.Minute, func() {}, fail)
		time.Sleep(time.Hour + time.Second)
		late.stop()
		none := startWatchdog(0, time.Minute, fail, fail)
		none.pat()
		none.stop()
		time.Sleep(24 * time.Hour)
	})
	Pat(context.Background())
}
