/* SPDX-License-Identifier: Apache-2.0 */
/* Every top-level section of the known answers is read by a test that names it. */
#include "sks_vectors.h"

#include <stdio.h>

TestSuite(sks_coverage, .timeout = 60);

static const struct {
    const char *section, *test; /* tests/unit/<test>.c; NULL: words for people */
} covered[] = {
    { "about", NULL },
    { "hk", "base_crypt" },
    { "xaes", "base_crypt" },
    { "nonce_mix", "base_crypt" },
    { "words", "proto_envelope" },
    { "keys", "sks_smk" },
    { "smk_set_cases", "sks_smk" },
    { "lk_version_cases", "sks_smk" },
    { "state_slot", "sks_smk" },
    { "blob_material", "sks_blob" },
    { "blobs", "sks_blob" },
    { "blob_largest", "sks_blob" },
    { "blob_reseal", "sks_blob" },
    { "share_cases", "sks_blob" },
    { "rollover_cases", "sks_blob" },
    { "blob_context", "sks_blob" },
    { "blob_negative", "sks_blob" },
    { "keyring_record", "sks_record" },
    { "keyring_record_negative", "sks_record" },
    { "role_password_cases", "sks_record" },
    { "record_apply", "sks_record" },
    { "must_change_cases", "sks_record" },
    { "cluster_record", "sks_record" },
    { "pin_envelope", "proto_envelope" },
    { "pin_envelope_hsm_so", "proto_envelope" },
    { "pin_envelope_negative", "proto_envelope" },
    { "import_envelope", "proto_envelope" },
    { "reveal", "proto_envelope" },
    { "ticket", "sks_ticket" },
    { "ticket_negative", "sks_ticket" },
    { "roster", "sks_roster" },
    { "roster_negative", "sks_roster" },
    { "invite", "sks_invite" },
    { "invite_spend_cases", "sks_invite" },
    { "beacon", "sks_roster" },
    { "tls_statement", "sks_roster" },
    { "login_key", "proto_envelope" },
    { "login_key_cases", "proto_envelope" },
    { "login_reply", "proto_envelope" },
    { "clone", "sks_clone" },
};

#define COVERED (sizeof(covered) / sizeof(covered[0]))

static bool is_covered(const char *section)
{
    for (size_t i = 0; i < COVERED; i++) {
        if (strcmp(covered[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

Test(sks_coverage, no_section_of_the_known_answers_is_left_out)
{
    const char *section = NULL;
    json_t *value = NULL;
    json_object_foreach(vector_root(), section, value)
    {
        cr_expect(is_covered(section), "no test covers the section %s", section);
    }
    cr_expect_eq(json_object_size(vector_root()), COVERED);
}

/* The row is true: the named test has the section's name in quotes. */
Test(sks_coverage, the_named_tests_read_the_section)
{
    static char text[262144];
    char path[128], quoted[64];
    for (size_t i = 0; i < COVERED; i++) {
        cr_expect_not_null(json_object_get(vector_root(), covered[i].section), "%s",
                           covered[i].section);
        if (covered[i].test == NULL) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "tests/unit/%s.c", covered[i].test);
        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", covered[i].section);
        FILE *f = fopen(path, "r");
        cr_assert_not_null(f, "%s: run from the top of the tree", path);
        const size_t size = fread(text, 1, sizeof(text) - 1, f);
        (void)fclose(f);
        text[size] = '\0';
        cr_expect_not_null(strstr(text, quoted), "%s does not read %s", path, covered[i].section);
    }
}
