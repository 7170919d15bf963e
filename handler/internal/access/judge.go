package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"fhirmigration/handler/internal/fhir"
)

const doReach = "see that the name resolves and that firewalls, private endpoints and network rules let the function app through"

// service judges a call to a FHIR service that needs a role.
func service(l Line, err error, role, where string) Line {
	if err == nil {
		l.Result = OK
		return l
	}
	l.Result, l.Found = NotOK, err.Error()
	grant := fmt.Sprintf("give the function app's identity the role %q on the %s FHIR service; a new role takes some minutes to work", role, where)
	var e *fhir.Error
	errors.As(err, &e)
	switch fhir.KindOf(err) {
	case fhir.Forbidden:
		l.Do = grant
	case fhir.Unauthorized:
		l.Do = "see that the function app has an identity (or AZURE_ClientCredential its secret), that the " + where + " is in its tenant, and that AZURE_" + title(where) + "Audience is what the service expects"
	case fhir.Gone:
		l.Do = "the service is retired: it answers exports alone"
	case fhir.Transient:
		if e.Status == 0 {
			l.Do = doReach
			break
		}
		l.Result, l.Do = NotKnown, "the service is busy or away: ask again"
	case fhir.Unreadable, fhir.NotFound:
		l.Do = "see that AZURE_" + title(where) + "Uri is the base URL of a FHIR service, with its path where it has one"
	case fhir.Refused:
		l.Do = "the service does not do this: see what it says"
	default:
		l.Do = doReach // nothing came before the time was over
	}
	return l
}

func title(where string) string {
	if where == "source" {
		return "Source"
	}
	return "Destination"
}

// storage judges a call to a storage account that needs a role. setting is where the account is named.
func storage(l Line, err error, role, account, setting string) Line {
	if err == nil {
		l.Result = OK
		return l
	}
	l.Result = NotOK
	var reply *azcore.ResponseError
	switch {
	case errors.As(err, &reply) && reply.StatusCode == http.StatusForbidden:
		l.Found = fmt.Sprintf("403 %s", reply.ErrorCode)
		l.Do = fmt.Sprintf("give the function app's identity the role %q on %s; with AuthorizationFailure, it is the account's network rules", role, account)
	case errors.As(err, &reply):
		l.Found = fmt.Sprintf("%d %s", reply.StatusCode, reply.ErrorCode)
		l.Do = fmt.Sprintf("see that %s names the right account, and that its network rules let the function app through", setting)
	case errors.Is(err, context.DeadlineExceeded):
		l.Found, l.Do = "no answer in time", doReach
	default:
		l.Found, l.Do = err.Error(), fmt.Sprintf("see that %s names the right account; %s", setting, doReach)
	}
	return l
}
