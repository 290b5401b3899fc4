package verdict

import (
	"fmt"

	"github.com/eventbaton/baton/e2e/history"
)

// Cursors checks what was seen of them: an epoch has one owner, epochs and positions never go back. Versions that the
// test itself has written are left out; mayGoBack lets positions go back, where the log did.
func Cursors(states []history.CursorState, own map[string]bool, mayGoBack bool) []string {
	var wrong []string
	epoch, owner := int64(0), ""
	rvs := map[string]uint64{}
	for _, s := range states {
		if s.Deleted || own[s.Version] {
			continue
		}
		if s.Epoch < epoch {
			wrong = append(wrong, fmt.Sprintf("the epoch went from %d back to %d (by %s)", epoch, s.Epoch, s.Owner))
		}
		if s.Epoch == epoch && owner != "" && s.Owner != owner {
			wrong = append(wrong, fmt.Sprintf("epoch %d belongs to %s and to %s", epoch, owner, s.Owner))
		}
		epoch, owner = s.Epoch, s.Owner
		for stream, rv := range s.RVs {
			if rv < rvs[stream] && !mayGoBack {
				wrong = append(wrong, fmt.Sprintf("epoch %d: the cursor %s went from %d back to %d", epoch, stream, rvs[stream], rv))
			}
			rvs[stream] = rv
		}
	}
	return wrong
}
