#include "vmm/boot/acpi.h"

#include <cstring>
#include <numeric>

#include "vmm/boot/aml.h"
#include "vmm/memory/layout.h"

namespace holt::vmm {
namespace {

constexpr char kOemId[] = "HOLT  ";
constexpr char kOemTableId[] = "HOLTVMM ";

struct __attribute__((packed)) TableHeader {  // 5.2.6
  char signature[4];
  uint32_t length;
  uint8_t revision;
  uint8_t checksum;
  char oem_id[6];
  char oem_table_id[8];
  uint32_t oem_revision;
  uint32_t creator_id;
  uint32_t creator_revision;
};
static_assert(sizeof(TableHeader) == 36);

struct __attribute__((packed)) Rsdp {  // 5.2.5.3
  char signature[8];
  uint8_t checksum;  // of the first 20 bytes
  char oem_id[6];
  uint8_t revision;
  uint32_t rsdt_address;
  uint32_t length;
  uint64_t xsdt_address;
  uint8_t extended_checksum;
  uint8_t reserved[3];
};
static_assert(sizeof(Rsdp) == 36);

struct __attribute__((packed)) GenericAddress {  // 5.2.3.2
  uint8_t space;                                 // 1: ports
  uint8_t bits;
  uint8_t offset;
  uint8_t access;  // 1: bytes
  uint64_t address;
};

struct __attribute__((packed)) Fadt {  // 5.2.9, what follows the header
  uint8_t before_boot_flags[109 - 36];
  uint16_t boot_flags;
  uint8_t reserved;
  uint32_t flags;
  GenericAddress reset_register;
  uint8_t reset_value;
  uint16_t arm_boot_flags;
  uint8_t minor_version;
  uint64_t x_firmware_control;
  uint64_t x_dsdt;
  uint8_t before_sleep_control[244 - 148];
  GenericAddress sleep_control;
  GenericAddress sleep_status;
  uint64_t hypervisor_vendor;
};
static_assert(sizeof(TableHeader) + sizeof(Fadt) == 276);

// Fadt::boot_flags: no VGA to probe, no CMOS clock. No 8042 and no legacy devices by what is left
// out.
constexpr uint16_t kNoVga = 1 << 2;
constexpr uint16_t kNoCmosClock = 1 << 5;
// Fadt::flags.
constexpr uint32_t kResetRegisterSupported = 1 << 10;
constexpr uint32_t kHardwareReduced = 1 << 20;

struct __attribute__((packed)) LocalApic {  // 5.2.12.2
  uint8_t type = 0;
  uint8_t length = sizeof(LocalApic);
  uint8_t processor_uid = 0;
  uint8_t apic_id = 0;
  uint32_t flags = 1;  // enabled
};
struct __attribute__((packed)) IoApic {  // 5.2.12.3
  uint8_t type = 1;
  uint8_t length = sizeof(IoApic);
  uint8_t id = 0;
  uint8_t reserved = 0;
  uint32_t address = kIoApicAddress;
  uint32_t first_gsi = 0;
};

template <typename T>
std::string Bytes(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

uint8_t Checksum(std::string_view bytes) {
  return static_cast<uint8_t>(-std::accumulate(bytes.begin(), bytes.end(), 0));
}

std::string Table(const char* signature, uint8_t revision, std::string_view body) {
  TableHeader header{};
  std::memcpy(header.signature, signature, sizeof header.signature);
  header.length = static_cast<uint32_t>(sizeof header + body.size());
  header.revision = revision;
  std::memcpy(header.oem_id, kOemId, sizeof header.oem_id);
  std::memcpy(header.oem_table_id, kOemTableId, sizeof header.oem_table_id);
  header.oem_revision = 1;
  std::memcpy(&header.creator_id, "HOLT", 4);
  header.creator_revision = 1;
  std::string table = Bytes(header).append(body);
  table[offsetof(TableHeader, checksum)] = static_cast<char>(Checksum(table));
  return table;
}

std::string BuildDsdt(std::span<const MmioDevice> devices) {
  std::string content;
  for (uint32_t i = 0; i < devices.size(); ++i) {
    const MmioDevice& device = devices[i];
    content += aml::Device(
        fmt::format("V{:03}", i),
        // Matched by drivers/virtio/virtio_mmio.c.
        aml::Name("_HID", aml::Text("LNRO0005")) + aml::Name("_UID", aml::Integer(i)) +
            aml::Name("_CRS", aml::Resources(aml::FixedMemory(static_cast<uint32_t>(device.address),
                                                              device.bytes) +
                                             aml::EdgeInterrupt(device.gsi))));
  }
  // Matched by drivers/misc/pvpanic/pvpanic-mmio.c.
  content +=
      aml::Device("PANC", aml::Name("_HID", aml::Text("QEMU0001")) +
                              aml::Name("_CRS", aml::Resources(aml::Ports(kPvpanicPort, 1))) +
                              aml::Name("_STA", aml::Integer(0xf)));
  std::string body = aml::Scope("\\_SB_", content);
  body += aml::Name("\\_S5_", aml::Package(4, aml::Integer(kSleepTypeS5) + aml::Integer(0) +
                                                  aml::Integer(0) + aml::Integer(0)));
  return Table("DSDT", 2, body);
}

std::string BuildFadt(uint64_t dsdt) {
  auto port = [](uint16_t number) { return GenericAddress{1, 8, 0, 1, number}; };
  Fadt fadt{};
  fadt.boot_flags = kNoVga | kNoCmosClock;
  fadt.flags = kResetRegisterSupported | kHardwareReduced;
  fadt.reset_register = port(kResetPort);
  fadt.reset_value = kResetValue;
  fadt.minor_version = 3;
  fadt.x_dsdt = dsdt;
  fadt.sleep_control = port(kSleepControlPort);
  fadt.sleep_status = port(kSleepStatusPort);
  std::memcpy(&fadt.hypervisor_vendor, "HOLT", 4);
  return Table("FACP", 6, Bytes(fadt));
}

std::string BuildMadt(uint32_t vcpus) {
  std::string body = Bytes(static_cast<uint32_t>(kLocalApicAddress)) + Bytes(uint32_t{0});
  for (uint32_t i = 0; i < vcpus; ++i) {
    LocalApic entry;
    entry.processor_uid = entry.apic_id = static_cast<uint8_t>(i);
    body += Bytes(entry);
  }
  body += Bytes(IoApic());
  return Table("APIC", 5, body);
}

}  // namespace

std::string BuildAcpiTables(uint64_t address, uint32_t vcpus, std::span<const MmioDevice> devices) {
  std::string all(64, '\0');  // RSDP's place
  auto append = [&](const std::string& table) {
    const uint64_t at = address + all.size();
    all += table;
    all.resize((all.size() + 15) & ~size_t{15});
    return at;
  };
  const uint64_t dsdt = append(BuildDsdt(devices));
  const uint64_t fadt = append(BuildFadt(dsdt));
  const uint64_t madt = append(BuildMadt(vcpus));
  const uint64_t xsdt = append(Table("XSDT", 1, Bytes(fadt) + Bytes(madt)));

  Rsdp rsdp{};
  std::memcpy(rsdp.signature, "RSD PTR ", sizeof rsdp.signature);
  std::memcpy(rsdp.oem_id, kOemId, sizeof rsdp.oem_id);
  rsdp.revision = 2;
  rsdp.length = sizeof rsdp;
  rsdp.xsdt_address = xsdt;
  rsdp.checksum = Checksum(Bytes(rsdp).substr(0, 20));
  rsdp.extended_checksum = Checksum(Bytes(rsdp));
  std::memcpy(all.data(), &rsdp, sizeof rsdp);
  return all;
}

}  // namespace holt::vmm
