/* A security key for ssh-keygen (the middleware of PROTOCOL.u2f) that is made of software: it writes what it is asked to
 * sign into SK_FOLDER/asked (application, handle and data), and what the command SK_SIGNS prints is its answer: flags, counter, and the signature's
 * one part or two in hexadecimal. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct sk_sign_response {
	uint8_t flags;
	uint32_t counter;
	uint8_t *sig_r;
	size_t sig_r_len;
	uint8_t *sig_s;
	size_t sig_s_len;
};

static size_t unhex(const char *text, uint8_t **bytes)
{
	size_t length = 0;
	unsigned value;
	*bytes = malloc(64);
	while (length < 64 && sscanf(text + 2 * length, "%2x", &value) == 1)
		(*bytes)[length++] = value;
	return length;
}

static void hex(FILE *command, const uint8_t *bytes, size_t length)
{
	for (size_t at = 0; at < length; at++)
		fprintf(command, "%02x", bytes[at]);
	fputc('\n', command);
}

uint32_t sk_api_version(void)
{
	return strtoul(getenv("SK_VERSION"), NULL, 16);
}

int sk_sign(uint32_t algorithm, const uint8_t *data, size_t length, const char *application, const uint8_t *handle, size_t handle_length,
    uint8_t flags, const char *pin, void *options, struct sk_sign_response **signed_with)
{
	struct sk_sign_response *response = calloc(1, sizeof *response);
	char name[512], r[129] = "", s[129] = "";
	unsigned said = 0, counter = 0;
	FILE *command, *answer;

	snprintf(name, sizeof name, "%s/asked", getenv("SK_FOLDER"));
	command = fopen(name, "w");
	fprintf(command, "%s\n", application);
	hex(command, handle, handle_length);
	hex(command, data, length);
	fclose(command);
	answer = popen(getenv("SK_SIGNS"), "r");
	if (fscanf(answer, "%u %u %128s %128s", &said, &counter, r, s) < 3)
		return -1;
	pclose(answer);
	response->flags = said;
	response->counter = counter;
	response->sig_r_len = unhex(r, &response->sig_r);
	response->sig_s_len = unhex(s, &response->sig_s);
	*signed_with = response;
	return 0;
}

int sk_enroll(void) { return -1; }
int sk_load_resident_keys(void) { return -1; }
