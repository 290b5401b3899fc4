package generator

import (
	"strconv"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func metaOf(o runtime.Object) (metav1.Object, error) { return meta.Accessor(o) }

func itoa(n int) string { return strconv.Itoa(n) }
