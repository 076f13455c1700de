package rotation_test

import (
	"fmt"
	"slices"
	"testing"

	"keywave/internal/rotation"
)

// steeringInputs are all inputs, for each account and each wave that they can
// have.
func steeringInputs(accounts []rotation.Account, waves int) []rotation.Happening {
	var all []rotation.Happening
	for _, r := range rotation.SteeringTable() {
		switch r.On {
		case rotation.EventBrakeOn, rotation.EventBrakeOff:
			for _, a := range accounts {
				all = append(all, rotation.Happening{On: r.On, Account: a, Why: "incident 7"})
			}
		case rotation.OrderApprove:
			for w := 1; w <= waves; w++ {
				all = append(all, rotation.Happening{On: r.On, Wave: w})
			}
		default:
			all = append(all, rotation.Happening{On: r.On, Why: "because"})
		}
	}
	return all
}

// steeringKey is equal for two states that differ in nothing that matters here.
func steeringKey(s rotation.Steering) [6]int {
	reasons, approved, flags := 0, 0, 0
	for _, r := range s.Reasons {
		bit := slices.Index(rotation.PauseKinds(), r.Kind)
		if r.Kind == rotation.PauseBrake {
			bit = 16 + slices.Index(s.Accounts, r.Account)
		}
		reasons |= 1 << bit
	}
	for _, w := range s.Approved {
		approved |= 1 << w
	}
	for i, f := range []bool{s.Outside, s.Cancelled, s.Emergency} {
		if f {
			flags |= 1 << i
		}
	}
	return [6]int{reasons, approved, flags, s.Wave, s.Waived, slices.Index(steeringStages, s.Stage)}
}

var steeringStages = []rotation.Stage{
	rotation.StageBetween, rotation.StageMending, rotation.StageWave, rotation.StageBaking,
	rotation.StageHealth, rotation.StageApproval, rotation.StageEnded,
}

// mayLift says which inputs may take a reason away. It is written without the
// table on purpose.
func mayLift(r rotation.PauseReason, h rotation.Happening) bool {
	switch r.Kind {
	case rotation.PauseBrake:
		return h.On == rotation.EventBrakeOff && h.Account == r.Account
	case rotation.PauseCalendar:
		return h.On == rotation.EventOpens || h.On == rotation.OrderOutside
	default:
		return resumes(h)
	}
}

func resumes(h rotation.Happening) bool {
	return h.On == rotation.OrderResume || h.On == rotation.OrderOutside || h.On == rotation.OrderWaive
}

// checkSteering checks what must hold for every single step.
func checkSteering(before, after rotation.Steering, h rotation.Happening, c rotation.Change) error {
	for _, r := range before.Reasons {
		stays := slices.ContainsFunc(after.Reasons, func(o rotation.PauseReason) bool { return o.Kind == r.Kind && o.Account == r.Account })
		if !stays && !mayLift(r, h) {
			return fmt.Errorf("the reason %s of %q vanished", r.Kind, r.Account)
		}
	}
	for _, a := range after.Accounts {
		stands := slices.ContainsFunc(after.Reasons, func(r rotation.PauseReason) bool { return r.Kind != rotation.PauseBrake || r.Account == a })
		runs := after.Runs(a)
		if runs && (stands || after.Cancelled || after.Stage == rotation.StageEnded) {
			return fmt.Errorf("account %s runs although something holds it", a)
		}
		if !runs && !stands && !after.Cancelled && after.Stage != rotation.StageEnded {
			return fmt.Errorf("account %s is held by nothing", a)
		}
		if before.Runs(a) && !runs && !slices.Contains(c.Stop, a) {
			return fmt.Errorf("account %s was not stopped", a)
		}
		if !before.Runs(a) && runs && !slices.Contains(c.Go, a) {
			return fmt.Errorf("account %s was not told to go on", a)
		}
		if slices.Contains(c.Go, a) && !runs {
			return fmt.Errorf("account %s is told to go on, and is held", a)
		}
	}
	if before.Cancelled && !after.Cancelled {
		return fmt.Errorf("a cancel vanished")
	}
	if after.Wave > before.Wave && !before.IsApproved(after.Wave) {
		return fmt.Errorf("wave %d began without its approval", after.Wave)
	}
	if err := checkResumeBeforeApproval(before, after, h, c); err != nil {
		return err
	}
	return wayOut(after)
}

// checkResumeBeforeApproval wants a person's resume to be obeyed while a wave
// waits for its approval, because zones of earlier waves may be exposed.
func checkResumeBeforeApproval(before, after rotation.Steering, h rotation.Happening, c rotation.Change) error {
	if before.Stage != rotation.StageApproval || before.Cancelled || !resumes(h) {
		return nil
	}
	why := before.Refuses(h)
	if h.On == rotation.OrderResume && why != "" {
		return fmt.Errorf("a resume is refused: %s", why)
	}
	for _, a := range after.Accounts {
		if why == "" && after.Runs(a) && !slices.Contains(c.Go, a) {
			return fmt.Errorf("account %s was not told to go on", a)
		}
	}
	return nil
}

// wayOut does what Next names until nothing holds the campaign.
func wayOut(s rotation.Steering) error {
	if s.Stage == rotation.StageEnded || s.Cancelled {
		return nil
	}
	for range len(s.Reasons) + 3 {
		way, ok := s.Next()
		if !ok {
			return nil
		}
		h := rotation.Happening{On: way.Order, Account: way.Account, Wave: way.Wave}
		if way.Order == "" {
			h.On = rotation.EventOpens
		}
		if why := s.Refuses(h); why != "" {
			return fmt.Errorf("Next names %q, which is refused: %s", h.On, why)
		}
		s.Take(h)
	}
	return fmt.Errorf("what Next names leads nowhere: %+v", s)
}

// TestSteeringExplored tries every order and event in every state that can be
// reached in a number of steps.
func TestSteeringExplored(t *testing.T) {
	const depth = 8
	accounts := []rotation.Account{"a", "b"}
	inputs := steeringInputs(accounts, 3)
	states, steps := 0, 0
	for _, emergency := range []bool{false, true} {
		level := []rotation.Steering{rotation.NewSteering(accounts, 3, []int{2, 3}, emergency)}
		seen := map[[6]int]bool{steeringKey(level[0]): true}
		for range depth {
			var next []rotation.Steering
			for _, s := range level {
				for _, h := range inputs {
					after := s
					c := after.Take(h)
					steps++
					if err := checkSteering(s, after, h, c); err != nil {
						t.Fatalf("%+v, on %+v: %v", s, h, err)
					}
					if key := steeringKey(after); !seen[key] {
						seen[key] = true
						next = append(next, after)
					}
				}
			}
			level = next
		}
		states += len(seen)
	}
	t.Logf("%d states, %d steps, %d inputs, depth %d", states, steps, len(inputs), depth)
}

// A resume does not skip the brake: with one account, a person pauses, the brake
// goes on, the person resumes.
func TestResumeDoesNotSkipTheBrake(t *testing.T) {
	s := rotation.NewSteering([]rotation.Account{"a"}, 1, nil, false)
	s.Take(rotation.Happening{On: rotation.EventWave})
	s.Take(rotation.Happening{On: rotation.OrderPause})
	s.Take(rotation.Happening{On: rotation.EventBrakeOn, Account: "a", Why: "leak"})
	c := s.Take(rotation.Happening{On: rotation.OrderResume})
	if len(c.Go) > 0 || s.Runs("a") {
		t.Fatalf("it goes on although the brake is on: %+v", s)
	}
	if why := s.Refuses(rotation.Happening{On: rotation.OrderResume}); why == "" {
		t.Error("a second resume is not told of the brake")
	}
	way, _ := s.Next()
	if way.Order != rotation.EventBrakeOff || way.Account != "a" {
		t.Errorf("next is %+v", way)
	}
	if c := s.Take(rotation.Happening{On: rotation.EventBrakeOff, Account: "a"}); len(c.Go) != 1 {
		t.Errorf("after the brake is off: %+v", c)
	}
}
