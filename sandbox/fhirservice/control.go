package fhirservice

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// control answers the calls that steer the sandbox:
//
//	POST   /_sandbox/faults   a Fault as JSON: 204
//	DELETE /_sandbox/faults   forgets all faults: 204
//	GET    /_sandbox/calls    every FHIR call so far
//	GET    /_sandbox/busy     when jobs were at work
func (s *Service) control(w http.ResponseWriter, r *http.Request, name string) {
	switch r.Method + " " + name {
	case "POST faults":
		s.postFault(w, r)
	case "DELETE faults":
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	case "GET calls":
		send(w, newReply(http.StatusOK, plainJSON, encode(s.Calls())))
	case "GET busy":
		send(w, newReply(http.StatusOK, plainJSON, encode(s.Busy())))
	default:
		http.Error(w, "There are POST and DELETE /_sandbox/faults, GET /_sandbox/calls and GET /_sandbox/busy.", http.StatusNotFound)
	}
}

func (s *Service) postFault(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil {
		var f Fault
		if err = json.Unmarshal(body, &f); err == nil {
			err = s.faults.add(f)
		}
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("fault: %v", err), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
