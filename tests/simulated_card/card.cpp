// What torch's C++ asks of a CUDA build: that there are cards, which of them is current, a stream of each, and
// generators of random numbers. Streams do nothing: what is on a card is computed when it is asked for.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {
using namespace c10;
constexpr auto CARD = DeviceType::CUDA;
constexpr DeviceIndex CARDS = 2;
thread_local DeviceIndex current = 0;

DeviceIndex exchanged(DeviceIndex device) {
  auto former = current;
  if (device >= 0) current = device;
  return former;
}

struct CardGuard final : impl::DeviceGuardImplInterface {
  DeviceType type() const override { return CARD; }
  Device exchangeDevice(Device device) const override { return Device(CARD, exchanged(device.index())); }
  Device getDevice() const override { return Device(CARD, current); }
  void setDevice(Device device) const override { exchanged(device.index()); }
  void uncheckedSetDevice(Device device) const noexcept override { exchanged(device.index()); }
  Stream getStream(Device device) const override { return Stream(Stream::DEFAULT, device); }
  Stream exchangeStream(Stream) const override { return Stream(Stream::DEFAULT, Device(CARD, current)); }
  DeviceIndex deviceCount() const noexcept override { return CARDS; }
  void record(void** event, const Stream&, const DeviceIndex, const EventFlag) const override {
    *event = const_cast<DeviceIndex*>(&CARDS);
  }
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void recordDataPtrOnStream(const DataPtr&, const Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, CardGuard);

struct CardGenerator final : at::CPUGeneratorImpl {
  explicit CardGenerator(DeviceIndex index) {
    device_ = Device(CARD, index);
    key_set_ = DispatchKeySet(DispatchKey::CUDA);
  }
};

// The name is that by which torch looks for it.
struct CUDAHooks : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return CARDS; }
  DeviceIndex deviceCount() const override { return CARDS; }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex device) const override { exchanged(device); }
  DeviceIndex exchangeDevice(DeviceIndex device) const override { return exchanged(device); }
  DeviceIndex maybeExchangeDevice(DeviceIndex device) const override { return exchanged(device); }
  Allocator* getPinnedMemoryAllocator() const override { return GetCPUAllocator(); }
  bool isPinnedPtr(const void*) const override { return false; }
  void deviceSynchronize(DeviceIndex) const override {}
  at::Generator getNewGenerator(DeviceIndex index = -1) const override {
    return at::make_generator<CardGenerator>(index < 0 ? current : index);
  }
  const at::Generator& getDefaultGenerator(DeviceIndex index = -1) const override {
    static at::Generator generators[CARDS] = {getNewGenerator(0), getNewGenerator(1)};
    return generators[index < 0 ? current : index];
  }
};
}  // namespace

namespace at {
using ::CUDAHooks;
REGISTER_CUDA_HOOKS(CUDAHooks);
}  // namespace at
