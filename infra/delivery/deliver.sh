#!/usr/bin/env bash
# Deploys an image to Cloud Run, and rolls it back. The workflows call it; a person can call it too, in the top folder of
# the repository, after `make setup`, logged in to gcloud with the deployer's rights:
#   export PROJECT=... REGION=asia-south1
#   infra/delivery/deliver.sh job IMAGE@sha256:DIGEST [TABLE,...|all]   the tables that may differ
#   infra/delivery/deliver.sh service IMAGE@sha256:DIGEST
#   infra/delivery/deliver.sh rollback-job
#   infra/delivery/deliver.sh rollback-service
# Each may be killed at any point, and called again.
set -euo pipefail

die() {
    echo "deliver.sh: $*" >&2
    exit 1
}

[ -n "${PROJECT:-}" ] && [ -n "${REGION:-}" ] || die "set PROJECT and REGION to where this goes"
flags=(--project="$PROJECT" --region="$REGION" --quiet)
live=trading-data triggered=trading-data-triggered candidate=trading-data-candidate watch=trading-data-watch service=trading-data-api

by_digest() {
    [[ "${1:-}" =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]] || die "'${1:-}' names no image by its digest: NAME@sha256:DIGEST"
}

# The value at a path of a resource's JSON; empty if there is none.
at() {
    python3 -c 'import json, sys
value = json.load(sys.stdin)
for step in sys.argv[1:]:
    value = (value or {}).get(step) if not isinstance(value, list) else value[int(step)]
print(value or "")' "$@"
}

job_image() {
    gcloud run jobs describe "$live" "${flags[@]}" --format=json \
        | at spec template spec template spec containers 0 image
}

# A field of an entry of the service's traffic, which is found by the value of another field.
traffic() {
    gcloud run services describe "$service" "${flags[@]}" --format=json | python3 -c 'import json, sys
key, value, field = sys.argv[1:]
entries = json.load(sys.stdin)["status"]["traffic"]
print(next((entry.get(field, "") for entry in entries if str(entry.get(key)) == value), ""))' "$@"
}

# A revision that never became ready can get neither a tag nor traffic.
latest_revision() {
    gcloud run services describe "$service" "${flags[@]}" --format=json | at status latestReadyRevisionName
}

job() {
    by_digest "${1:-}"
    local was
    was=$(job_image)
    if [ "$was" != "$1" ]; then
        gcloud run jobs update "$candidate" --image="$1" "${flags[@]}"
        gcloud run jobs execute "$candidate" --wait "${flags[@]}"
        BIGQUERY_PROJECT="$PROJECT" BIGQUERY_LOCATION="$REGION" ARCHIVE_URI="gs://$PROJECT-archive/archive" \
            "${PYTHON:-.venv/bin/python}" -m infra.delivery --accept="${2:-}"
        # Before the live job, whose image tells whether this was done.
        gcloud run jobs update "$triggered" --image="$1" "${flags[@]}"
        # A label holds 63 characters, one less than a digest.
        local digest="${was##*@sha256:}"
        gcloud run jobs update "$live" --image="$1" "${flags[@]}" \
            --update-labels="previous-1=${digest:0:32},previous-2=${digest:32}"
    fi
    # Build the marts of the new release before the service that reads them is deployed.
    gcloud run jobs execute "$live" --args=build --wait "${flags[@]}" \
        || die "the live marts could not be built with $1, which the job keeps; take it back: $0 rollback-job"
}

rollback_job() {
    local is first second
    is=$(gcloud run jobs describe "$live" "${flags[@]}" --format=json)
    first=$(at metadata labels previous-1 <<<"$is")
    second=$(at metadata labels previous-2 <<<"$is")
    [ -n "$first" ] && [ -n "$second" ] || die "$live does not tell which image it had before: it was taken back already," \
        "or never delivered. Which ran: gcloud run jobs executions list --job=$live; then: $0 job IMAGE@sha256:DIGEST"
    local name
    name=$(at spec template spec template spec containers 0 image <<<"$is")
    gcloud run jobs update "$triggered" --image="${name%@*}@sha256:$first$second" "${flags[@]}"
    gcloud run jobs update "$live" --image="${name%@*}@sha256:$first$second" "${flags[@]}" --remove-labels=previous-1,previous-2
    gcloud run jobs execute "$live" --args=build --wait "${flags[@]}"
}

# Check that an address answers the routes that people use: with 200, within three tries each.
ask() {
    local audience token path
    audience=$(gcloud run services describe "$service" "${flags[@]}" --format=json | at status url)
    if [ -n "${PROBER:-}" ]; then
        # A federated identity has no token that Cloud Run accepts; the account that it may impersonate has one.
        token=$(curl --silent --show-error --fail --max-time 30 --json "{\"audience\": \"$audience\", \"includeEmail\": true}" \
            --header "Authorization: Bearer $(gcloud auth print-access-token)" \
            "${IAM_CREDENTIALS:-https://iamcredentials.googleapis.com}/v1/projects/-/serviceAccounts/$PROBER:generateIdToken" \
            | at token)
    else
        token=$(gcloud auth print-identity-token)
    fi
    for path in /data-status /dashboard/overview; do
        for _ in 1 2 3; do
            curl --silent --show-error --fail --max-time 60 --output /dev/null \
                --header "Authorization: Bearer $token" "$1$path" && continue 2
            sleep "${PAUSE:-10}"
        done
        echo "deliver.sh: $1$path is not answered" >&2
        return 1
    done
}

service() {
    by_digest "${1:-}"
    local was new
    was=$(traffic percent 100 revisionName)
    [ -n "$was" ] || die "the traffic is divided; give all of it to the revision that you trust:" \
        "gcloud run services update-traffic $service --to-revisions=REVISION=100"
    # The latest revision may also be one that Terraform has made, of the same image with other settings.
    new=$(latest_revision)
    if [ "$(gcloud run revisions describe "$new" "${flags[@]}" --format=json | at spec containers 0 image)" != "$1" ]; then
        # Without a tag: with one, gcloud would write the revision's name into the service, and Terraform's next change of
        # the service would be refused, because a revision of that name exists.
        gcloud run deploy "$service" --image="$1" --no-traffic "${flags[@]}"
        new=$(latest_revision)
    fi
    if [ "$new" != "$was" ]; then
        gcloud run services update-traffic "$service" --update-tags="candidate=$new" "${flags[@]}"
        ask "$(traffic tag candidate url)" || die "$new gets no traffic; its log says why"
        gcloud run services update-traffic "$service" --to-revisions="$new=100" --update-tags="previous=$was" \
            --remove-tags=candidate "${flags[@]}"
    fi
    ask "$(gcloud run services describe "$service" "${flags[@]}" --format=json | at status url)" || {
        rollback_service
        die "the revision before has all traffic again; the log of the new one says why"
    }
    gcloud run jobs update "$watch" --image="$1" "${flags[@]}"
}

rollback_service() {
    [ -n "$(traffic tag previous revisionName)" ] || die "no revision has the tag \`previous\`; name one:" \
        "gcloud run services update-traffic $service --to-revisions=REVISION=100"
    gcloud run services update-traffic "$service" --to-tags=previous=100 "${flags[@]}"
}

case "${1:-}" in
    job) job "${@:2}" ;;
    service) service "${@:2}" ;;
    rollback-job) rollback_job ;;
    rollback-service) rollback_service ;;
    *) die "name what to do: job, service, rollback-job or rollback-service" ;;
esac
