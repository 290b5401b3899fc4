package cursor

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var (
	// ErrFenced says that another has claimed the cursors. This register writes nothing any more.
	ErrFenced = errors.New("another has claimed the cursors")
	// ErrFormat says that the object has a format that this version does not know. What it means is anybody's
	// guess, so it is neither read nor written.
	ErrFormat = errors.New("unknown format of the cursors")
	// ErrNotLeading says that the lock is not, or no longer, held: nothing was claimed, or the claim came too late.
	ErrNotLeading = errors.New("the lock is not held")
	// ErrBack says that a position would go back, which only Reset may do. It is a bug of the caller.
	ErrBack = errors.New("a cursor would go back")

	// errEpochs can only be somebody's doing by hand.
	errEpochs = errors.New("no epoch is left")
)

// explain wraps err with what was being done and, where a right is missing, with which.
func (o *Options) explain(verb string, err error) error {
	if apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return fmt.Errorf("%s the cursors %s/%s: %w (the agent's Role in namespace %s needs the verb %q on configmaps)",
			verb, o.Namespace, o.Name, err, o.Namespace, verb)
	}
	return fmt.Errorf("%s the cursors %s/%s: %w", verb, o.Namespace, o.Name, err)
}

// lostRace says that a write was refused because the object is not as it was read.
func lostRace(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// definite says that the API server has refused a request for a reason that repeating it does not mend. What is
// neither this nor a lost race may have taken effect, or may still.
func definite(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsInvalid(err) ||
		apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsNotAcceptable(err) ||
		apierrors.IsUnsupportedMediaType(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// bounded gives one request its own time, so that an answer that never comes doesn't hold up a term.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestTimeout)
}
